// If-Match and If-None-Match (RFC 9110, section 13.1). The ETag of a key is its version.
import { StoreError } from '../src/core/errors.js'
import type { Collection } from '../src/api/collection.js'

type Headers = Record<string, string | string[] | undefined>

/** A version that no key has. With it the write fails in the store, and still releases its lock if `release` is set. */
const NEVER = Number.MAX_SAFE_INTEGER

/** Whether If-None-Match lists the version (weak comparison). */
export function isKnown (ifNoneMatch: string | undefined, version: number): boolean {
  if (ifNoneMatch === undefined) return false
  return ifNoneMatch.trim() === '*' || ifNoneMatch.split(',').some(
    tag => tag.trim().replace(/^W\//, '') === `"${version}"`
  )
}

/** Whether a write requires the key to have no value. */
export function ifAbsent (ifNoneMatch: string | undefined): boolean {
  if (ifNoneMatch === undefined || ifNoneMatch.trim() === '*') return ifNoneMatch !== undefined
  throw new StoreError('STORE_OPTION_INVALID', 'invalid If-None-Match: a write supports only *')
}

/**
 * Rejects conditions that a route does not support: ignoring them could overwrite data that the client wants to
 * protect.
 */
export function noConditions (headers: Headers): void {
  if (headers['if-match'] === undefined && headers['if-none-match'] === undefined) return
  throw new StoreError(
    'STORE_OPTION_INVALID', 'PATCH does not support If-Match and If-None-Match: send the whole value with PUT'
  )
}

/**
 * Writes under `If-Match`. `*` and a single version are checked by the store. For a list, reads the current version and
 * writes under exactly that one; repeats if another write came in between.
 */
export async function onMatch<T> (
  ifMatch: string | undefined, collection: Collection<string>, key: string,
  { timeout, token }: { timeout: number, token: string | undefined },
  write: (options: { ifVersion?: number | undefined, ifPresent?: boolean, timeout: number }) => Promise<T>
): Promise<T> {
  if (ifMatch?.trim() === '*') return await write({ ifPresent: true, timeout })
  const versions = versionsOf(ifMatch)
  if (versions === undefined || typeof versions === 'number') return await write({ ifVersion: versions, timeout })
  const end = performance.now() + timeout * 1000
  const left = (): number => Math.max(0, end - performance.now()) / 1000
  for (;;) {
    const version = (await collection.entry(key, { timeout: left(), token }))?.version ?? 0
    const matches = versions.includes(version)
    try {
      return await write({ ifVersion: matches ? version : NEVER, timeout: left() })
    } catch (error) {
      if (!matches || (error as StoreError).code !== 'STORE_VERSION_MISMATCH') throw error
    }
  }
}

/** Weak tags never match, nor do tags that are not versions. "0" stands for no value. */
function versionsOf (ifMatch: string | undefined): number | number[] | undefined {
  if (ifMatch === undefined) return undefined
  if (!/^(?:\s*(?:W\/)?"[^"]*"\s*(?:,|$))+$/.test(ifMatch)) {
    throw new StoreError(
      'STORE_OPTION_INVALID', 'invalid If-Match: expected * or a comma-separated list of quoted versions'
    )
  }
  const versions = Array.from(ifMatch.matchAll(/(W\/)?"([^"]*)"/g), ([, weak, tag]) => (
    weak === undefined && /^(?:0|[1-9]\d{0,15})$/.test(tag!) ? Math.min(Number(tag), NEVER) : NEVER
  ))
  return versions.length === 1 ? versions[0] : versions
}

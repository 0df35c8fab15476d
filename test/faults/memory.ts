// What a sequential client knows about each key: the granted tokens and the last version seen.
import assert from 'node:assert/strict'

export interface Exchange {
  method: string
  collection: string
  key: string
  sent: Record<string, string | undefined>
  status: number
  etag: unknown
  deleted: unknown
}

interface Known {
  tokens: Set<string>
  /** The last version seen, and whether it may still exist; 0 if the key is known to be deleted. */
  version: number | undefined
  highest: number
}

export class Memory {
  readonly #keys = new Map<string, Known>()

  versionOf (collection: string, key: string): string {
    return `"${this.#of(collection, key).version ?? 1}"`
  }

  grant (collection: string, key: string, token: string): void {
    this.#of(collection, key).tokens.add(token)
  }

  /** The last token; 'none' if there was none. */
  tokenOf (collection: string, key: string): string {
    return [...this.#of(collection, key).tokens].at(-1) ?? 'none'
  }

  isTokenOf (collection: string, key: string, token: string): boolean {
    return this.#of(collection, key).tokens.has(token)
  }

  /** Keys of a collection may have been cleared or evicted. */
  forget (collection: string): void {
    for (const [name, known] of this.#keys) if (name.startsWith(`${collection}\0`)) known.version = undefined
  }

  /** Records a call on a key. Throws if the response contradicts the known state. True if its condition was met. */
  learn ({ method, collection, key, sent, status, etag, deleted }: Exchange, what: string): boolean {
    const known = this.#of(collection, key)
    const version = etag === undefined ? undefined : Number(/\d+/.exec(String(etag)))
    const [ifMatch, ifNoneMatch] = [sent['if-match'], sent['if-none-match']]
    const reads = method === 'GET' || method === 'HEAD'
    const isDone = status < 400
    let isMet = false
    if (isDone && reads && ifNoneMatch !== undefined) {
      const matches = ifNoneMatch.trim() === '*' || tagsOf(ifNoneMatch, true).includes(version!)
      assert.equal(status, matches ? 304 : 200, what)
      isMet = true
    }
    if (isDone && !reads && method !== 'PATCH' && ifMatch !== undefined) {
      const before = known.version
      if (ifMatch.trim() === '*') assert.ok(before !== 0 && status !== 201, what)
      else if (before !== undefined) {
        assert.ok(
          tagsOf(ifMatch, false).includes(before) || tagsOf(ifMatch, false).includes(0),
          `accepted despite If-Match, the version is ${before}: ${what}`
        )
      }
      if (tagsOf(ifMatch, false).every(tag => tag === 0) && ifMatch.trim() !== '*') {
        assert.ok(status === 201 || deleted === 'false', what)
      }
      isMet = true
    }
    if (isDone && method === 'PUT' && ifNoneMatch !== undefined) {
      assert.equal(status, 201, `If-None-Match: ${what}`)
      isMet = true
    }
    if (isDone && (method === 'PUT' || (method === 'PATCH' && version !== undefined))) {
      assert.ok(version! > known.highest, `a version that has not increased, after ${known.highest}: ${what}`)
    }
    if (isDone && reads) assert.ok(version! >= known.highest, `an old version, after ${known.highest}: ${what}`)
    if (version !== undefined) {
      known.highest = Math.max(known.highest, version)
      known.version = version
    } else if (isDone) known.version = method === 'DELETE' ? 0 : undefined
    else if (status === 404 && reads) known.version = 0
    return isMet
  }

  #of (collection: string, key: string): Known {
    const name = `${collection}\0${key}`
    let known = this.#keys.get(name)
    if (known === undefined) this.#keys.set(name, known = { tokens: new Set(), version: undefined, highest: 0 })
    return known
  }
}

/** The versions named by a condition; weak ones only for weak comparison. */
function tagsOf (header: string, isWeak: boolean): number[] {
  return Array.from(header.matchAll(/(W\/)?"(\d+)"/g))
    .filter(([, weak]) => isWeak || weak === undefined)
    .map(([, , tag]) => Number(tag))
}

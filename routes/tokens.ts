// Bearer tokens (RFC 6750), each with a name, the collections it covers, and read or write access.
import { hash, randomUUID } from 'node:crypto'
import { checkName, onlyKnown } from '../src/core/validation.js'
import { StoreError } from '../src/core/errors.js'

export interface AdminTokenOptions {
  /** The secret, in visible ASCII. */
  token: string
  /** Shown in logs and in the `owner` of locks; up to 128 characters. */
  name: string
  /** Collections it covers. Default: all. */
  collections?: string[] | undefined
  /** 'read': changes nothing, and its reads do not count as uses. 'write': full access. */
  access: 'read' | 'write'
}

export type AdminTokenList = AdminTokenOptions[] | (() => AdminTokenOptions[] | Promise<AdminTokenOptions[]>)

/** What a token grants. */
export interface Identity {
  /** Undefined for `token` and `readToken`. */
  readonly name: string | undefined
  readonly canWrite: boolean
  /** Undefined: all. */
  readonly collections: ReadonlySet<string> | undefined
}

export const ANYBODY: Identity = { name: undefined, canWrite: true, collections: undefined }

export class Tokens {
  /** Tokens are looked up by a keyed digest, so that the timing of the comparison reveals nothing about them. */
  readonly #secret = randomUUID()
  readonly #fixed = new Map<string, Identity>()
  readonly #list: (() => unknown) | undefined

  constructor (options: {
    token?: string | undefined, readToken?: string | undefined, tokens?: AdminTokenList | undefined
  }) {
    const { token, readToken, tokens } = options
    if (token !== undefined) this.#fixed.set(this.#digest(token), ANYBODY)
    if (readToken !== undefined) this.#fixed.set(this.#digest(readToken), { ...ANYBODY, canWrite: false })
    if (typeof tokens === 'function') this.#list = tokens
    else this.#index(tokens ?? [], this.#fixed)
  }

  /** Undefined if there is no such token. Rejects if the function that lists them fails or returns an invalid list. */
  async identify (token: string): Promise<Identity | undefined> {
    const digest = this.#digest(token)
    const fixed = this.#fixed.get(digest)
    if (fixed !== undefined || this.#list === undefined) return fixed
    return this.#index(checkTokens(await this.#list()), new Map()).get(digest)
  }

  #index (tokens: AdminTokenOptions[], index: Map<string, Identity>): Map<string, Identity> {
    for (const { token, name, collections, access } of tokens) {
      index.set(this.#digest(token), {
        name, canWrite: access === 'write', collections: collections && new Set(collections)
      })
    }
    return index
  }

  #digest (token: string): string {
    return hash('sha256', this.#secret + token, 'base64')
  }
}

/** STORE_OPTION_INVALID; messages do not contain tokens. */
export function checkTokens (tokens: unknown): AdminTokenOptions[] {
  if (!Array.isArray(tokens)) throw invalid('admin.tokens', 'an array or a function that returns one')
  const seen = new Set<unknown>()
  for (const [i, item] of (tokens as unknown[]).entries()) {
    const where = `admin.tokens[${i}]`
    if (typeof item !== 'object' || item === null) throw invalid(where, 'an object')
    onlyKnown(item, ['token', 'name', 'collections', 'access'])
    const { token, name, collections, access } = item as Record<keyof AdminTokenOptions, unknown>
    checkToken(token, `${where}.token`)
    if (seen.has(token)) throw invalid(`${where}.token`, 'a token that differs from the others')
    seen.add(token)
    if (typeof name !== 'string' || !/^[^\p{C}]{1,128}$/u.test(name)) {
      throw invalid(`${where}.name`, '1 to 128 printable characters')
    }
    if (access !== 'read' && access !== 'write') throw invalid(`${where}.access`, "'read' or 'write'")
    if (collections === undefined) continue
    if (!Array.isArray(collections)) throw invalid(`${where}.collections`, 'an array of names')
    for (const collection of collections) checkName(collection, 'STORE_NAME_INVALID')
  }
  return tokens as AdminTokenOptions[]
}

/** STORE_OPTION_INVALID. */
export function checkToken (token: unknown, option: string): void {
  if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token)) throw invalid(option, 'visible ASCII characters')
}

function invalid (option: string, expected: string): StoreError {
  return new StoreError('STORE_OPTION_INVALID', `invalid ${option}: expected ${expected}`)
}

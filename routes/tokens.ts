// Bearer tokens (RFC 6750): each has a name, and says which collections it covers and whether it may change them.
import { hash, randomUUID } from 'node:crypto'
import { checkName, onlyKnown } from '../src/core/validation.js'
import { StoreError } from '../src/core/errors.js'

export interface AdminTokenOptions {
  /** The secret: visible ASCII. */
  token: string
  /** Who it is, for logs and for the `owner` of locks: up to 128 characters. */
  name: string
  /** The collections it covers. Default: all. */
  collections?: string[] | undefined
  /** 'read': may change nothing, and what it reads keeps its idle time. 'write': may do everything. */
  access: 'read' | 'write'
}

export type AdminTokenList = AdminTokenOptions[] | (() => AdminTokenOptions[] | Promise<AdminTokenOptions[]>)

/** What a token stands for. */
export interface Identity {
  /** None for `token` and `readToken`. */
  readonly name: string | undefined
  readonly canWrite: boolean
  /** Undefined: all. */
  readonly collections: ReadonlySet<string> | undefined
}

export const ANYBODY: Identity = { name: undefined, canWrite: true, collections: undefined }

export class Tokens {
  /** Tokens are found by a digest that nobody can compute but this process: the time that takes tells nothing of them. */
  readonly #secret = randomUUID()
  readonly #fixed = new Map<string, Identity>()
  readonly #list: (() => unknown) | undefined

  constructor ({ token, readToken, tokens }: { token?: string | undefined, readToken?: string | undefined, tokens?: AdminTokenList | undefined }) {
    if (token !== undefined) this.#fixed.set(this.#digest(token), ANYBODY)
    if (readToken !== undefined) this.#fixed.set(this.#digest(readToken), { ...ANYBODY, canWrite: false })
    if (typeof tokens === 'function') this.#list = tokens
    else this.#index(tokens ?? [], this.#fixed)
  }

  /** Undefined: there is no such token. Rejects where the function that lists them fails, or lists what is none. */
  async identify (token: string): Promise<Identity | undefined> {
    const digest = this.#digest(token)
    const fixed = this.#fixed.get(digest)
    if (fixed !== undefined || this.#list === undefined) return fixed
    return this.#index(checkTokens(await this.#list()), new Map()).get(digest)
  }

  #index (tokens: AdminTokenOptions[], index: Map<string, Identity>): Map<string, Identity> {
    for (const { token, name, collections, access } of tokens) {
      index.set(this.#digest(token), { name, canWrite: access === 'write', collections: collections && new Set(collections) })
    }
    return index
  }

  #digest (token: string): string {
    return hash('sha256', this.#secret + token, 'base64')
  }
}

/** STORE_OPTION_INVALID, which names no token. */
export function checkTokens (tokens: unknown): AdminTokenOptions[] {
  if (!Array.isArray(tokens)) throw invalid('admin.tokens', 'a list, or a function that gives one')
  const seen = new Set<unknown>()
  for (const [i, item] of (tokens as unknown[]).entries()) {
    const where = `admin.tokens[${i}]`
    if (typeof item !== 'object' || item === null) throw invalid(where, 'an object')
    onlyKnown(item, ['token', 'name', 'collections', 'access'])
    const { token, name, collections, access } = item as Record<keyof AdminTokenOptions, unknown>
    checkToken(token, `${where}.token`)
    if (seen.has(token)) throw invalid(`${where}.token`, 'one that is not given before')
    seen.add(token)
    if (typeof name !== 'string' || !/^[^\p{C}]{1,128}$/u.test(name)) throw invalid(`${where}.name`, 'up to 128 printable characters')
    if (access !== 'read' && access !== 'write') throw invalid(`${where}.access`, "'read' or 'write'")
    if (collections === undefined) continue
    if (!Array.isArray(collections)) throw invalid(`${where}.collections`, 'a list of names')
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

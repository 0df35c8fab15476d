// Lists the keys of a collection page by page, so that no single call has to walk a large collection.
import { setImmediate as nextTurn } from 'node:timers/promises'
import { checkCursor, wholeNumber } from '../core/validation.js'
import { StoreError } from '../core/errors.js'
import type { CollectionCalls } from './collection-calls.js'
import {
  KNOWN, moment, type BiggestKeys, type BiggestOptions, type KeyPage, type PageOptions, type PrefixOptions,
  type WaitOptions
} from './options.js'
import { checkOptions } from './requests.js'

/** A page of keys as sent by engines. Times are in milliseconds. */
interface RawKeyPage {
  keys: Array<[key: string, version: number, expiresIn: number | null, bytes: number]>
  cursor?: string
}

const KEYS_PER_PAGE = 500
const MAX_BIGGEST = 1000
const MAX_EXAMINED = 100_000
/** Of a search for the biggest keys. Engines may examine fewer, but not on average. */
const KEYS_PER_SEARCH = 1000
const LEAST_PER_SEARCH = 50

export async function keyPage (calls: CollectionCalls, options: PageOptions, wait?: WaitOptions): Promise<KeyPage> {
  checkOptions(options, KNOWN.page)
  const { prefix = '', cursor, limit = 100 } = options
  const request = calls.request('scan', prefix, wait)
  if (cursor !== undefined) request.cursor = checkCursor(cursor)
  request.number = wholeNumber(limit, 'limit', 1)
  const page = JSON.parse((await calls.send(request)).text!) as RawKeyPage
  // For a store in this process, whose calls do not yield to the event loop.
  if (page.cursor !== undefined) await nextTurn()
  return {
    keys: page.keys.map(([key, version, expiresIn, bytes]) => {
      return { key, version, bytes, expiresAt: moment(expiresIn ?? undefined) }
    }),
    cursor: page.cursor
  }
}

/** The names of all keys, or of those that start with a prefix. */
export async function * keyPages (
  calls: CollectionCalls, options: PrefixOptions
): AsyncGenerator<string[], void, undefined> {
  checkOptions(options, KNOWN.prefix)
  const { prefix = '', ...wait } = options
  let cursor: string | undefined
  do {
    const page = await keyPage(calls, { prefix, cursor, limit: KEYS_PER_PAGE }, wait)
    yield page.keys.map(({ key }) => key)
    cursor = page.cursor
  } while (cursor !== undefined)
}

/** All keys with their values, or those that start with a prefix. */
export async function * entryPages<T> (
  calls: CollectionCalls, options: PrefixOptions,
  getMany: (keys: string[], wait: WaitOptions) => Promise<Array<T | undefined>>
): AsyncGenerator<[string, T], void, undefined> {
  const { prefix, ...wait } = options
  for await (const keys of keyPages(calls, options)) {
    const values = await getMany(keys, wait)
    for (const [i, key] of keys.entries()) {
      const value = values[i]
      if (value !== undefined) yield [key, value]
    }
  }
}

/** The keys with the largest values among those examined. */
export async function biggestKeys (calls: CollectionCalls, options: BiggestOptions): Promise<BiggestKeys> {
  checkOptions(options, KNOWN.biggest)
  const { limit = 10, examine = 10_000, cursor: from, ...wait } = options
  for (const [name, value, most] of [['limit', limit, MAX_BIGGEST], ['examine', examine, MAX_EXAMINED]] as const) {
    if (wholeNumber(value, name, 1) > most) {
      throw new StoreError('STORE_OPTION_INVALID', `${name} must be at most ${most}`)
    }
  }
  let found: KeyPage['keys'] = []
  let examined = 0
  let cursor = from
  let pages = Math.ceil(examine / LEAST_PER_SEARCH)
  do {
    const page = await keyPage(calls, { cursor, limit: Math.min(KEYS_PER_SEARCH, examine - examined) }, wait)
    examined += page.keys.length
    found = [...found, ...page.keys].sort((a, b) => b.bytes - a.bytes).slice(0, limit)
    cursor = page.cursor
  } while (cursor !== undefined && examined < examine && --pages > 0)
  return { keys: found, examined, cursor }
}

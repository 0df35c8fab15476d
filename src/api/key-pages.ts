// Lists the keys of a collection page by page, so that no single call has to walk a large collection.
import { checkCursor, wholeNumber } from '../core/validation.js'
import type { CollectionCalls } from './collection-calls.js'
import { KNOWN, moment, type KeyPage, type PageOptions, type PrefixOptions, type WaitOptions } from './options.js'
import { checkOptions } from './requests.js'

/** A page of keys as engines send it. Times are in milliseconds. */
interface RawKeyPage {
  keys: Array<[key: string, version: number, expiresIn: number | null, bytes: number]>
  cursor?: string
}

const KEYS_PER_PAGE = 500

export async function keyPage (calls: CollectionCalls, options: PageOptions, wait?: WaitOptions): Promise<KeyPage> {
  checkOptions(options, KNOWN.page)
  const { prefix = '', cursor, limit = 100 } = options
  const request = calls.request('scan', prefix, wait)
  if (cursor !== undefined) request.cursor = checkCursor(cursor)
  request.number = wholeNumber(limit, 'limit', 1)
  const page = JSON.parse((await calls.send(request)).text!) as RawKeyPage
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

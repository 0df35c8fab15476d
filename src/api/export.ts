// Reads a whole store page by page, in the format of export-lines.ts.
import { setImmediate as nextTurn } from 'node:timers/promises'
import { DUMP_SEPARATOR, type Engine, type Op } from '../core/engine.js'
import { StoreError } from '../core/errors.js'
import { collectionOf, type CollectionStats, type RawCollectionPage } from '../core/stats.js'
import { checkCollection } from '../core/validation.js'
import type { Scope } from './collection-calls.js'
import { keyLine, optionsLine } from './export-lines.js'
import { KNOWN, moment, type WaitOptions } from './options.js'
import { checkOptions, listOf, requestOf, type Defaults } from './requests.js'

/** `timeout` applies to each page. */
export interface ExportOptions extends WaitOptions {
  /** The names of the collections to export. Default: all. */
  collections?: Iterable<string> | undefined
}

/** A page of a dump as sent by engines, before the values. Times are in milliseconds. */
interface RawPage {
  keys: Array<[key: string, version: number, ttlLeft: number | null]>
  cursor?: string
}

const OPTIONS = [...KNOWN.wait, 'collections']
const COLLECTIONS_PER_PAGE = 250
const KEYS_PER_PAGE = 500
/** Number of collections whose first pages are fetched together: there may be one collection per user. */
const AT_A_TIME = 16

export async function * exportLines (
  engine: Engine, defaults: Defaults, scope: Scope | undefined, options: ExportOptions
): AsyncGenerator<string, void, undefined> {
  checkOptions(options, OPTIONS)
  const { collections, ...wait } = options
  if (collections !== undefined) listOf(collections, 'collections', 'an iterable of names')
  const ask = async (op: Op, collection: string, key: string, cursor?: string, limit?: number): Promise<string> => {
    const request = requestOf(op, collection, key, wait, KNOWN.wait, defaults, scope)
    request.cursor = cursor
    request.number = limit
    return (await engine.call(request)).text!
  }
  const dump = async (collection: string, cursor?: string): Promise<{ lines: string, cursor: string | undefined }> => {
    return linesOf(collection, await ask('dump', collection, '', cursor, KEYS_PER_PAGE))
  }
  for await (const page of collections === undefined ? allCollections(ask) : namedCollections(ask, collections)) {
    for (let at = 0; at < page.length; at += AT_A_TIME) {
      const some = page.slice(at, at + AT_A_TIME)
      const dumps = await Promise.all(some.map(({ name }) => dump(name)))
      for (const [i, stats] of some.entries()) {
        let { lines, cursor } = dumps[i]!
        lines = optionsLine(stats.name, stats) + lines
        for (;;) {
          if (lines !== '') yield lines
          if (cursor === undefined) break
          await nextTurn() // for a store in this process, whose calls do not yield to the event loop
          ;({ lines, cursor } = await dump(stats.name, cursor))
        }
      }
      await nextTurn()
    }
  }
}

type Ask = (op: Op, collection: string, key: string, cursor?: string, limit?: number) => Promise<string>

async function * allCollections (ask: Ask): AsyncGenerator<CollectionStats[]> {
  let cursor: string | undefined
  do {
    const page = JSON.parse(await ask('collections', '', '', cursor, COLLECTIONS_PER_PAGE)) as RawCollectionPage
    yield page.collections.map(collectionOf)
    cursor = page.cursor
  } while (cursor !== undefined)
}

async function * namedCollections (ask: Ask, names: Iterable<string>): AsyncGenerator<CollectionStats[]> {
  for (const name of names) {
    checkCollection(name)
    yield (JSON.parse(await ask('collections', name, '1')) as RawCollectionPage).collections.map(collectionOf)
  }
}

/** STORE_PROTOCOL. */
function linesOf (collection: string, text: string): { lines: string, cursor: string | undefined } {
  const [head, ...values] = text.split(DUMP_SEPARATOR)
  const { keys, cursor } = JSON.parse(head!) as RawPage
  if (keys.length !== values.length) throw new StoreError('STORE_PROTOCOL', 'a page with more keys than values')
  const lines = keys.map(([key, version, left], i) => {
    return keyLine(collection, key, version, moment(left ?? undefined), values[i]!)
  })
  return { lines: lines.join(''), cursor }
}

// Collections: list, show, configure, clear, and list their keys.
import { Type } from '@sinclair/typebox'
import type { Store } from '../src/api/store.js'
import type { KeyPage } from '../src/api/options.js'
import type { CollectionStats } from '../src/core/stats.js'
import { limitBody } from './body.js'
import type { Admin } from './app.js'
import type { RouteConfig } from './auth.js'
import { sendPage } from './many.js'
import { Problem, done } from './problems.js'
import {
  BODY, Bounds, Collection, CollectionParams, Collections, CollectionsQuery, FAILURES, LOCKED, NOTHING, NOT_FOUND, Page,
  PageQuery, WaitHeaders, cursor, moment, name, strict, whole
} from './schemas.js'
import { over, rates, withRates } from './rates.js'
import { collectionsFor } from './scope.js'

const ListQuery = Type.Object({ ...CollectionsQuery.properties, over }, strict)
const ShowQuery = Type.Object({ over }, strict)
const Rated = Type.Object({ ...Collection.properties, rates })
const RatedPage = Type.Object({ ...Collections.properties, collections: Type.Array(Rated, { maxItems: 1000 }) })

const BiggestQuery = Type.Object({
  limit: Type.Optional(
    Type.Number({ minimum: 1, maximum: 1000, multipleOf: 1, description: 'Maximum number of keys. Default: 10' })
  ),
  examine: Type.Optional(Type.Number({
    minimum: 1, maximum: 100_000, multipleOf: 1, description: 'Number of keys to look at. Default: 10000'
  })),
  cursor
}, strict)

const Biggest = Type.Object({
  keys: Type.Array(
    Type.Object({
      key: name('Its name'),
      version: whole('Its version, as in its ETag'),
      bytes: whole('Bytes of its value'),
      expiresAt: Type.Optional(moment('When it expires unless it is used before'))
    }),
    { maxItems: 1000, description: 'The largest first' }
  ),
  examined: whole('Number of keys examined'),
  cursor: Type.Optional(
    Type.String({ maxLength: 2048, description: 'Looks at further keys; absent if there are none' })
  )
})
const tags = ['collections']

export function collectionRoutes (admin: Admin): void {
  listCollections(admin)
  readCollection(admin)
  configureCollection(admin)
  clearCollection(admin)
  listKeys(admin)
  listBiggest(admin)
}

function listCollections ({ app, store, stopping }: Admin): void {
  app.get('/collections', {
    config: { isScoped: true } satisfies RouteConfig,
    schema: {
      operationId: 'listCollections',
      summary: 'List collections, page by page',
      description: 'In no particular order; only those that the token covers. A page may be empty although more ' +
        'pages follow.',
      tags,
      querystring: ListQuery,
      response: { 200: RatedPage, ...FAILURES }
    }
  }, async (request, reply) => {
    const { over, ...query } = request.query
    const page = await collectionsFor(request, store, query)
    if (over === undefined) return page
    const look = async (): Promise<CollectionStats[]> => (await collectionsFor(request, store, query)).collections
    return { ...page, collections: await withRates(reply, stopping, over, look) }
  })
}

function readCollection ({ app, store, stopping }: Admin): void {
  app.get('/collections/:collection', {
    schema: {
      operationId: 'readCollection',
      summary: 'Show a collection',
      tags,
      params: CollectionParams,
      querystring: ShowQuery,
      response: { 200: Rated, ...FAILURES, ...NOT_FOUND }
    }
  }, async (request, reply) => {
    const { params: { collection }, query: { over } } = request
    const look = async (): Promise<CollectionStats> => await statsOf(store, collection)
    if (over === undefined) return await look()
    const [rated] = await withRates(reply, stopping, over, async () => [await look()])
    return rated!
  })
}

function configureCollection ({ app, store }: Admin): void {
  app.patch('/collections/:collection', {
    preParsing: limitBody(store),
    schema: {
      operationId: 'configureCollection',
      summary: 'Change the options of a collection',
      tags,
      params: CollectionParams,
      body: Bounds,
      response: { 200: Collection, ...FAILURES, ...BODY }
    }
  }, async request => {
    await store.collection(request.params.collection).configure(request.body)
    return await statsOf(store, request.params.collection)
  })
}

function clearCollection ({ app, store, waiting }: Admin): void {
  app.delete('/collections/:collection', {
    schema: {
      operationId: 'clearCollection',
      summary: 'Delete all keys of a collection',
      description: 'Unlocked keys are deleted at once. 202 means that locked ones are deleted when they are ' +
        'released; `Prefer: wait=N` waits for that, and with `wait=0` they are kept: 423.',
      tags,
      params: CollectionParams,
      headers: WaitHeaders,
      response: { 202: NOTHING, 204: NOTHING, ...FAILURES, ...LOCKED }
    }
  }, async (request, reply) => {
    const collection = store.collection(request.params.collection)
    const timeout = waiting.seconds(request, reply)
    const cleared = collection.clear({ timeout }).then(() => 204)
    if (timeout !== undefined) return await done(reply, await cleared)
    // Calls of one process take effect in order, so this reply comes first only if the clear has to wait.
    const waits = collection.lockInfo('').then(() => 202)
    return await done(reply, await Promise.race([cleared, waits]))
  })
}

function listKeys ({ app, store }: Admin): void {
  app.get('/collections/:collection/keys', {
    schema: {
      operationId: 'listKeys',
      summary: 'List keys, page by page',
      description: 'Names and metadata in no particular order; with `values=true` also values, or the code of the ' +
        'error if a key is locked. A page may be empty although more pages follow.',
      tags,
      params: CollectionParams,
      querystring: PageQuery,
      response: { 200: Page, ...FAILURES }
    }
  }, async (request, reply) => {
    const { prefix, cursor, limit, values } = request.query
    const collection = store.collection(request.params.collection)
    const page = await collection.page({ prefix, limit, cursor })
    if (values === true) return await sendPage(reply, collection.text, page)
    return { keys: page.keys.map(written), cursor: page.cursor }
  })
}

function listBiggest ({ app, store }: Admin): void {
  app.get('/collections/:collection/biggest', {
    schema: {
      operationId: 'listBiggestKeys',
      summary: 'List the keys with the largest values',
      description: 'Among `examine` keys of the collection, in no particular order; with `cursor` among further ones.',
      tags,
      params: CollectionParams,
      querystring: BiggestQuery,
      response: { 200: Biggest, ...FAILURES }
    }
  }, async request => {
    const found = await store.collection(request.params.collection).biggest(request.query)
    return { ...found, keys: found.keys.map(written) }
  })
}

type Key = KeyPage['keys'][number]

function written ({ expiresAt, ...key }: Key): Omit<Key, 'expiresAt'> & { expiresAt?: string } {
  return expiresAt === undefined ? key : { ...key, expiresAt: expiresAt.toISOString() }
}

async function statsOf (store: Store, name: string): Promise<CollectionStats> {
  const found = await store.collection(name).stats()
  if (found === undefined) throw new Problem('ADMIN_NOT_FOUND', 'the collection has no keys, locks or options')
  return found
}

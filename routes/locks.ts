// Locks over HTTP. They end with their lease, and every worker accepts their token.
import type { FastifyRequest } from 'fastify'
import type { Collection } from '../src/api/collection.js'
import type { Store } from '../src/api/store.js'
import type { LockInfo } from '../src/core/stats.js'
import { StoreError } from '../src/core/errors.js'
import { limitBody } from './body.js'
import type { Admin } from './app.js'
import { ownerOf, type RouteConfig } from './auth.js'
import { setEnd } from './keys.js'
import { Problem, done } from './problems.js'
import {
  Acquire, AcquireHeaders, BODY, CONFLICT, FAILURES, Grant, HolderHeaders, KeyParams, LOCKED, Lease, Lock, Locks,
  LocksQuery, NOTHING, NOT_FOUND, ReleaseQuery, Renew, withHeaders
} from './schemas.js'
import { locksFor } from './scope.js'

/** Lease of locks that are requested without one, unless maxLease is shorter. */
const DEFAULT_LEASE_SECONDS = 30
const url = '/collections/:collection/locks/*'
const tags = ['locks']

type OnKey = FastifyRequest<{ Params: { collection: string, '*': string } }>

export function lockRoutes (admin: Admin): void {
  listLocks(admin)
  readLock(admin)
  acquireLock(admin)
  renewLock(admin)
  releaseLock(admin)
}

function listLocks ({ app, store }: Admin): void {
  app.get('/locks', {
    config: { isScoped: true } satisfies RouteConfig,
    schema: {
      operationId: 'listLocks',
      summary: 'List locks',
      description: 'In no particular order; only those of collections that the token covers. `locks` in /stats is ' +
        'their number.',
      tags,
      querystring: LocksQuery,
      response: { 200: Locks, ...FAILURES }
    }
  }, async request => ({ locks: (await locksFor(request, store, request.query.limit)).map(written) }))
}

function readLock ({ app, store }: Admin): void {
  app.get(url, {
    schema: {
      operationId: 'readLock',
      summary: 'Show the owner of a lock and its waiters',
      tags,
      params: KeyParams,
      response: { 200: Lock, ...FAILURES, ...NOT_FOUND }
    }
  }, async request => {
    const info = await lockOf(store, request)
    if (info === undefined) throw new Problem('ADMIN_NOT_FOUND', 'the key is not locked')
    return { ...written(info), queue: info.queue.map(waiter => ({ ...waiter, since: waiter.since.toISOString() })) }
  })
}

function acquireLock ({ app, store, waiting, maxLease }: Admin): void {
  app.post(url, {
    preParsing: limitBody(store),
    preValidation: async request => { request.body ??= {} },
    schema: {
      operationId: 'acquireLock',
      summary: 'Lock a key',
      description: 'The same exclusive lock that application code acquires, granted first come, first served. It ' +
        'ends with its lease unless renewed.',
      tags,
      params: KeyParams,
      headers: AcquireHeaders,
      body: Acquire,
      response: { 201: withHeaders(Grant, 'Location', 'Lock-Token', 'X-TTL'), ...FAILURES, ...LOCKED, ...BODY }
    }
  }, async (request, reply) => {
    const { lease = Math.min(DEFAULT_LEASE_SECONDS, maxLease) } = request.body
    checkLease(lease, maxLease)
    const owner = ownerOf(request, request.body.owner)
    const options = { lease, owner, detached: true, token: request.headers['lock-token'] }
    const acquire = async (collection: Collection<string>, key: string, timeout: number): Promise<GrantText> => {
      try {
        const lock = await collection.acquire(key, { ...options, timeout })
        const { token, fence, expiresAt, version } = lock
        return { token, fence, expiresAt, owner, version, value: lock.get() }
      } catch (error) {
        return await grantedBefore(collection, key, options.token, error as StoreError)
      }
    }
    const { value, ...grant } = await waiting.onKey(request, reply, acquire, true)
    const location = request.originalUrl.split('?')[0]
    reply.code(201).type('application/json')
    reply.headers({ location, 'lock-token': grant.token, 'cache-control': 'no-store' })
    setEnd(reply, grant.expiresAt)
    const text = JSON.stringify(grant)
    return value === undefined ? text : `${text.slice(0, -1)},"value":${value}}`
  })
}

interface GrantText {
  token: string
  fence: number
  expiresAt: Date | undefined
  owner: string
  version: number
  /** JSON. */
  value: string | undefined
}

/** Resolves with the grant of a lock already held with this token, for retries; otherwise rejects with `refusal`. */
async function grantedBefore (
  collection: Collection<string>, key: string, token: string | undefined, refusal: StoreError
): Promise<GrantText> {
  if (token === undefined || !['STORE_LOCKED', 'STORE_TIMEOUT'].includes(refusal.code)) throw refusal
  try {
    await collection.entry(key, { token, peek: true })
    const info = await collection.lockInfo(key)
    const entry = await collection.entry(key, { token, peek: true }) // rejects unless the lock is still the same
    if (info === undefined) throw refusal
    const { fence, expiresAt, owner } = info
    return { token, fence, expiresAt, owner, version: entry?.version ?? 0, value: entry?.value }
  } catch (error) {
    throw (error as StoreError).code === 'STORE_LOCK_LOST' ? refusal : error
  }
}

function renewLock ({ app, store, maxLease }: Admin): void {
  app.patch(url, {
    preParsing: limitBody(store),
    preValidation: async request => { request.body ??= {} },
    schema: {
      operationId: 'renewLock',
      summary: 'Renew the lease of a lock',
      tags,
      params: KeyParams,
      headers: HolderHeaders,
      body: Renew,
      response: { 200: withHeaders(Lease, 'X-TTL'), ...FAILURES, ...NOT_FOUND, ...CONFLICT, ...BODY }
    }
  }, async (request, reply) => {
    const { lease } = request.body
    if (lease !== undefined) checkLease(lease, maxLease)
    const end = await asHolder(store, request, (collection, key, token) => collection.renew(key, token, lease))
    setEnd(reply, end)
    return end === undefined ? {} : { expiresAt: end.toISOString() }
  })
}

function releaseLock ({ app, store }: Admin): void {
  app.delete(url, {
    schema: {
      operationId: 'releaseLock',
      summary: 'Release a lock, or break it',
      tags,
      params: KeyParams,
      headers: HolderHeaders,
      querystring: ReleaseQuery,
      response: { 204: NOTHING, ...FAILURES, ...NOT_FOUND, ...CONFLICT }
    }
  }, async (request, reply) => {
    const { force, fence } = request.query
    if (force !== true) {
      if (fence !== undefined) throw new StoreError('STORE_OPTION_INVALID', 'fence requires force=true')
      await asHolder(store, request, (collection, key, token) => collection.release(key, token))
    } else await breakLock(store, request, fence)
    return await done(reply, 204)
  })
}

function collectionOf (store: Store, { params }: Pick<OnKey, 'params'>): Collection {
  return store.collection(params.collection)
}

function lockOf (store: Store, request: Pick<OnKey, 'params'>): ReturnType<Collection['lockInfo']> {
  return collectionOf(store, request).lockInfo(request.params['*'])
}

async function asHolder<T> (
  store: Store, request: Pick<OnKey, 'params' | 'headers'>,
  call: (collection: Collection, key: string, token: string) => Promise<T>
): Promise<T> {
  const token = request.headers['lock-token']
  if (typeof token !== 'string') throw new StoreError('STORE_OPTION_INVALID', 'the header Lock-Token is missing')
  try {
    return await call(collectionOf(store, request), request.params['*'], token)
  } catch (error) {
    if ((error as StoreError).code !== 'STORE_LOCK_LOST' || await lockOf(store, request) !== undefined) throw error
    throw new Problem('ADMIN_NOT_FOUND', 'the key is not locked')
  }
}

async function breakLock (
  store: Store, request: Pick<OnKey, 'params'>, fence: number | undefined
): Promise<void> {
  if (await collectionOf(store, request).breakLock(request.params['*'], { fence })) return
  if (fence === undefined || await lockOf(store, request) === undefined) {
    throw new Problem('ADMIN_NOT_FOUND', 'the key is not locked')
  }
  throw new StoreError('STORE_LOCK_LOST', `the lock with fence ${fence} has ended, and the key is locked again`)
}

function checkLease (lease: number, maxLease: number): void {
  if (lease > maxLease) {
    throw new StoreError('STORE_OPTION_INVALID', `invalid lease: expected at most ${maxLease} seconds, got ${lease}`)
  }
}

type Written<T> = Omit<T, 'since' | 'expiresAt'> & { since: string, expiresAt?: string }

function written<T extends Pick<LockInfo, 'since' | 'expiresAt'>> ({ expiresAt, since, ...lock }: T): Written<T> {
  return {
    ...lock, since: since.toISOString(), ...expiresAt === undefined ? {} : { expiresAt: expiresAt.toISOString() }
  }
}

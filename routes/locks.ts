// Locks, which whoever has the token can go on with through any worker. They end with their lease.
import type { FastifyRequest } from 'fastify'
import { StoreError } from '../src/core/errors.js'
import { limitBody } from './body.js'
import { addressOf, type Admin } from './admin.js'
import { setEnd } from './keys.js'
import { Problem, done } from './problems.js'
import {
  Acquire, AcquireHeaders, BODY, CONFLICT, FAILURES, Grant, HolderHeaders, KeyParams, LOCKED, Lease, Lock, Locks, LocksQuery, NOTHING, NOT_FOUND, ReleaseQuery, Renew, withHeaders
} from './schemas.js'

const LEASE = 30
const url = '/collections/:collection/locks/*'
const tags = ['locks']

export function lockRoutes ({ app, store, waiting, maxLease }: Admin): void {
  app.get('/locks', {
    schema: {
      operationId: 'listLocks',
      summary: 'List locks',
      description: 'In no order that means anything. `locks` in /stats is the number of all.',
      tags,
      querystring: LocksQuery,
      response: { 200: Locks, ...FAILURES }
    }
  }, async request => ({ locks: (await store.locks({ limit: request.query.limit })).map(written) }))

  app.get(url, {
    schema: {
      operationId: 'readLock',
      summary: 'Show who holds a lock and who waits for it',
      tags,
      params: KeyParams,
      response: { 200: Lock, ...FAILURES, ...NOT_FOUND }
    }
  }, async request => {
    const info = await lockOf(request)
    if (info === undefined) throw new Problem('ADMIN_NOT_FOUND', 'the key is not locked')
    return { ...written(info), queue: info.queue.map(waiter => ({ ...waiter, since: waiter.since.toISOString() })) }
  })

  app.post(url, {
    preParsing: limitBody(store),
    preValidation: async request => { request.body ??= {} },
    schema: {
      operationId: 'acquireLock',
      summary: 'Lock a key',
      description: 'The lock is the one that application code waits for: exclusive, first come, first served. It ends with its lease, unless it is renewed.',
      tags,
      params: KeyParams,
      headers: AcquireHeaders,
      body: Acquire,
      response: { 201: withHeaders(Grant, 'Location', 'Lock-Token', 'X-TTL'), ...FAILURES, ...LOCKED, ...BODY }
    }
  }, async (request, reply) => {
    const { lease = LEASE, owner = `http ${addressOf(request)}` } = request.body
    checkLease(lease)
    const options = { lease, owner, detached: true, token: request.headers['lock-token'] }
    const lock = await waiting.onKey(request, reply, (collection, key, timeout) => collection.acquire(key, { ...options, timeout }), true)
    reply.code(201).type('application/json').headers({ location: request.originalUrl.split('?')[0], 'lock-token': lock.token, 'cache-control': 'no-store' })
    setEnd(reply, lock.expiresAt)
    const grant = JSON.stringify({ token: lock.token, fence: lock.fence, expiresAt: lock.expiresAt, owner, version: lock.version })
    const value = lock.get()
    return value === undefined ? grant : `${grant.slice(0, -1)},"value":${value}}`
  })

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
    if (lease !== undefined) checkLease(lease)
    const end = await asHolder(request, (key, token) => collectionOf(request).renew(key, token, lease))
    setEnd(reply, end)
    return { expiresAt: end!.toISOString() }
  })

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
    if (request.query.force !== true) await asHolder(request, (key, token) => collectionOf(request).release(key, token))
    else if (!await collectionOf(request).breakLock(request.params['*'])) throw new Problem('ADMIN_NOT_FOUND', 'the key is not locked')
    return await done(reply, 204)
  })

  type OnKey = FastifyRequest<{ Params: { collection: string, '*': string } }>

  function collectionOf (request: Pick<OnKey, 'params'>): ReturnType<typeof store.collection> {
    return store.collection(request.params.collection)
  }

  function lockOf (request: Pick<OnKey, 'params'>): ReturnType<ReturnType<typeof store.collection>['lockInfo']> {
    return collectionOf(request).lockInfo(request.params['*'])
  }

  async function asHolder<T> (request: Pick<OnKey, 'params' | 'headers'>, call: (key: string, token: string) => Promise<T>): Promise<T> {
    const token = request.headers['lock-token']
    if (typeof token !== 'string') throw new StoreError('STORE_OPTION_INVALID', 'the header Lock-Token is missing')
    try {
      return await call(request.params['*'], token)
    } catch (error) {
      if ((error as StoreError).code !== 'STORE_LOCK_LOST' || await lockOf(request) !== undefined) throw error
      throw new Problem('ADMIN_NOT_FOUND', 'the key is not locked')
    }
  }

  function checkLease (lease: number): void {
    if (lease > maxLease) throw new StoreError('STORE_OPTION_INVALID', `lease can be ${maxLease} at most`)
  }
}

function written<T extends { since: Date, expiresAt: Date | undefined }> ({ expiresAt, since, ...lock }: T): Omit<T, 'since' | 'expiresAt'> & { since: string, expiresAt?: string } {
  return { ...lock, since: since.toISOString(), ...expiresAt === undefined ? {} : { expiresAt: expiresAt.toISOString() } }
}

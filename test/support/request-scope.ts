// The contract of `req.store` for every framework and transport, over real sockets.
import { once } from 'node:events'
import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http'
import { connect, constants } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { mock } from 'node:test'
import type { Test } from 'tap'
import { Agent, request } from 'undici'
import { createStore, type Collection, type KeyLock, type Store } from '../../src/index.js'
import { until } from './until.js'

/** A handler in these tests: it returns the body, or throws. */
export type Handler = (store: Store, response: ServerResponse) => Promise<unknown>

/** Serves an application over `store` until the test ends. Each path has a handler. */
export type Application = (t: Test, store: Store, routes: Record<string, Handler>) => Promise<Client>

export interface Client {
  /** Rejects when the signal aborts, which disconnects the client, or when the response is incomplete. */
  get (path: string, signal?: AbortSignal): Promise<[status: number, body: string]>
}

/**
 * Serves a listener on a free port until the test ends. `timeout`: milliseconds after which idle connections close.
 */
export async function serve (t: Test, listener: RequestListener, timeout = 0): Promise<string> {
  const server: Server = createServer(listener).setTimeout(timeout).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

export async function overHttp1 (t: Test, listener: RequestListener): Promise<Client> {
  const url = await serve(t, listener)
  const agent = new Agent({ pipelining: 0 })
  t.teardown(() => agent.destroy())
  return {
    get: async (path, signal) => {
      const { statusCode, body } = await request(url + path, { dispatcher: agent, signal })
      return [statusCode, await body.text()]
    }
  }
}

/** Each client has a session of its own until the test ends, and cancels its streams. */
export function overHttp2 (t: Test, origin: string): Client {
  const session = connect(origin)
  t.teardown(() => { session.destroy() })
  return {
    get: (path, signal) => new Promise((resolve, reject) => {
      const stream = session.request({ ':path': path })
      let status = 0
      let body = ''
      signal?.addEventListener('abort', () => { stream.close(constants.NGHTTP2_CANCEL) })
      stream.setEncoding('utf8').on('error', reject)
        .on('response', headers => { status = headers[':status']! })
        .on('data', chunk => { body += String(chunk) })
        .on('close', () => {
          if (stream.rstCode === constants.NGHTTP2_NO_ERROR) resolve([status, body])
          else reject(new Error(`reset with ${stream.rstCode}`))
        })
    })
  }
}

/** A promise with its resolve function. */
function gate (): { opened: Promise<void>, open: () => void } {
  let open!: () => void
  const opened = new Promise<void>(resolve => { open = resolve })
  return { opened, open }
}

export async function requestScope (t: Test, name: string, application: Application): Promise<void> {
  await t.test(`${name}: changes of req.store are visible before the response`, async t => {
    const store = createStore('memory:')
    t.teardown(() => store.close())
    const jobs: Collection<string> = store.collection('jobs')
    let kept: KeyLock<string> | undefined
    const hold = async (store: Store, change: string): Promise<KeyLock<string>> => {
      kept = await store.collection<string>('jobs').acquire('key', { lease: 100 })
      kept.set(change)
      return kept
    }
    const { get } = await application(t, store, {
      '/reply': async store => { await hold(store, 'reply'); return 'done' },
      '/throw': async store => { await hold(store, 'throw'); throw new Error('on purpose') },
      '/refuse': async (store, response) => { await hold(store, 'refuse'); response.statusCode = 404; return 'no' },
      '/fail': async (store, response) => { await hold(store, 'fail'); response.statusCode = 502; return 'no' },
      '/lost': async store => { await hold(store, 'lost'); await jobs.breakLock('key'); return 'done' },
      '/own': async store => {
        const collection = store.collection<string>('jobs')
        const lock = await collection.acquire('key')
        lock.set('own')
        await lock.release()
        return await collection.get('key')
      },
      '/only-locked': async store => { await store.collection('jobs').acquire('key'); return 'done' },
      '/locked': async store => await store.collection('jobs').get('key', { timeout: 0 }),
      '/self': async store => {
        const collection = store.collection<string>('jobs')
        const lock = await collection.acquire('key')
        lock.set('self')
        const own: Array<Promise<unknown>> = [
          collection.get('key'), collection.set('key', 'x'), collection.acquire('key'),
          collection.update('key', () => 'x'), collection.clear(), store.collection('jobs').text.entry('key')
        ]
        const codes = (await Promise.allSettled(own)).map(outcome =>
          outcome.status === 'rejected' ? outcome.reason.code : 'none'
        )
        const others = [
          await collection.tryAcquire('key'), await collection.get('other'),
          await collection.set('key', 'y', { token: lock.token })
        ]
        t.strictSame(others.slice(0, 2), [undefined, undefined], 'calls that do not wait are not rejected')
        return codes.join()
      },
      '/together': async store => {
        const collection = store.collection<string>('jobs')
        const values = await Promise.all([
          collection.update('key', async () => {
            await jobs.has('other')
            return 'together'
          }),
          collection.get('key')
        ])
        return values.join()
      }
    })
    const now = async (): Promise<unknown> => await jobs.get('key', { timeout: 0 })

    t.strictSame(await get('/reply'), [200, 'done'])
    t.equal(await now(), 'reply', 'a successful response commits')
    t.equal(kept!.isReleased, true)
    t.equal((await get('/throw'))[0], 500)
    t.equal(await now(), 'reply', 'a handler that throws drops its changes')
    t.strictSame(await get('/refuse'), [404, 'no'])
    t.equal(await now(), 'refuse', 'a response with status 4xx commits')
    t.strictSame(await get('/fail'), [502, 'no'])
    t.equal(await now(), 'refuse', 'a response with status 5xx drops the changes')

    const [lost, why] = await get('/lost')
    t.equal(lost, 409, 'a failed commit becomes the response')
    t.match(why, 'The lock was lost')
    t.equal(await now(), 'refuse')

    t.strictSame(await get('/own'), [200, 'own'])
    t.strictSame(await get('/only-locked'), [200, 'done'])
    await until(async () => (await store.locks()).length === 0)
    t.strictSame(await get('/self'), [200, Array(6).fill('STORE_DEADLOCK').join()])
    t.equal(await now(), 'self')
    t.strictSame(
      await get('/together'), [200, 'together,together'],
      'an update ends without its request, so the request may wait for it'
    )

    const lock = await jobs.acquire('key')
    t.equal((await get('/locked'))[0], 423, 'an error of the store has its own status')
    await lock.release()
  })

  await t.test(`${name}: a rejected commit becomes the response, and later output is dropped`, async t => {
    const store = createStore('memory:')
    t.teardown(() => store.close())
    const jobs: Collection<string> = store.collection('jobs')
    const { get } = await application(t, store, {
      '/': async store => {
        const collection = store.collection<string>('jobs')
        for (const key of ['there', 'one too many', 'last']) (await collection.acquire(key)).set('changed')
        return 'a body that is longer than the error could ever be: '.repeat(100)
      }
    })
    await jobs.set('there', 'before')
    await jobs.set('last', 'before')
    await jobs.configure({ maxKeys: 2, evict: false })
    const [status, body] = await get('/')
    t.equal(status, 507)
    t.match(body, /maxKeys/)
    t.strictSame(await jobs.getMany(['there', 'one too many', 'last'], { timeout: 0 }), [
      'changed', undefined, 'before'
    ])
  })

  await t.test(`${name}: a client that disconnects`, async t => {
    const store = createStore('memory:')
    t.teardown(() => store.close())
    const jobs: Collection<string> = store.collection('jobs')
    await jobs.set('key', 'before')
    let { opened, open } = gate()
    let failed: { code?: string } | undefined
    let late: Promise<unknown> | undefined
    let lock: KeyLock<string> | undefined
    let isAsked = false
    const failing = (error: { code?: string }): never => {
      failed = error
      throw error
    }
    const hold = async (store: Store): Promise<KeyLock<string>> => {
      lock = await store.collection<string>('jobs').acquire('key')
      lock.set('changed')
      return lock
    }
    const { get } = await application(t, store, {
      '/work': async store => { await hold(store); await opened; return 'done' },
      '/release': async store => {
        const lock = await hold(store)
        await opened
        await lock.release().catch(failing)
        return 'done'
      },
      '/set': async store => {
        const lock = await hold(store)
        await opened
        try {
          lock.set('x')
        } catch (error) {
          failing(error as { code?: string })
        }
      },
      '/nothing': async store => { await hold(store); await opened },
      '/update': async store => await store.collection<string>('jobs').update('key', async (_, own) => {
        lock = own
        await opened
        return 'changed'
      }).catch(failing),
      '/compute': store => store.collection<string>('jobs').getOrSet('computed', async () => {
        await opened
        return 'computed'
      }),
      '/hang': async store => { await hold(store); return await new Promise(() => {}) },
      '/wait': async store => await store.collection('jobs').get('key').catch(failing),
      '/late': async (store, response) => {
        late = once(response, 'close').then(() => store.collection('jobs').acquire('key'))
        late.catch(() => {})
        return 'done'
      },
      '/too-late': async (store, response) => {
        isAsked = true
        await once(response, 'close')
        await store.collection('jobs').acquire('key').catch(failing)
        return 'done'
      }
    })
    const holds = async (): Promise<boolean> => (await store.locks()).length === 1
    const free = async (): Promise<void> => { await until(async () => !await holds()) }
    const hangUp = async (path: string, isReady = holds): Promise<void> => {
      ({ opened, open } = gate())
      failed = lock = undefined
      const controller = new AbortController()
      const answer = get(path, controller.signal)
      await until(isReady)
      controller.abort()
      await t.rejects(answer)
    }

    for (const path of ['/work', '/nothing', '/release', '/set', '/update']) {
      await hangUp(path)
      await until(() => lock!.signal.aborted)
      t.match(lock!.signal.reason, { code: 'STORE_ABORTED' }, `${path}: the handler is notified`)
      t.equal(await jobs.tryAcquire('key'), undefined, 'the lock is held while the handler runs')
      open()
      await free()
      t.equal(await jobs.get('key'), 'before', 'the end of the handler releases it without its changes')
      if (path !== '/work' && path !== '/nothing') t.match(failed, { code: 'STORE_ABORTED' })
      t.throws(() => { lock!.set('x') }, { code: 'STORE_ABORTED' })
    }

    await hangUp('/compute')
    open()
    t.equal(await jobs.getOrSet('computed', () => 'anew'), 'computed', 'the computed value is stored for others')

    mock.timers.enable({ apis: ['setTimeout'] })
    t.teardown(() => { mock.timers.reset() })
    await hangUp('/hang')
    await until(() => lock!.signal.aborted)
    mock.timers.tick(29_000)
    t.equal(await holds(), true, 'a handler that does not end keeps its lock')
    mock.timers.tick(1000)
    t.equal(await holds(), false, 'the lock is released after 30 seconds')
    mock.timers.reset()

    const other = await jobs.acquire('key')
    await hangUp('/wait', async () => (await store.locks())[0]!.waiters === 1)
    await until(async () => (await store.locks())[0]!.waiters === 0)
    await until(() => failed !== undefined)
    t.match(failed, { code: 'STORE_ABORTED' }, 'waits are aborted')
    await other.release()

    await hangUp('/too-late', async () => isAsked)
    await until(() => failed !== undefined)
    t.match(failed, { code: 'STORE_ABORTED' }, 'acquire fails after the client has disconnected')
    t.strictSame(await get('/late'), [200, 'done'])
    await t.rejects(late!, { code: 'STORE_ABORTED' }, 'acquire fails after the response was sent')
    await free()
  })
}

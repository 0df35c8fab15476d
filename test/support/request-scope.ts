// What `req.store` has to do in every framework, asked over real HTTP.
import { once } from 'node:events'
import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import { Agent, request } from 'undici'
import { createStore, type Collection, type KeyLock, type Store } from '../../src/index.js'
import { until } from './until.js'

/** A handler as these tests write them: what it returns is the body, what it throws is a failure. */
export type Handler = (store: Store, response: ServerResponse) => Promise<unknown>

/** An application over `store` that answers each path with its handler. */
export type Application = (store: Store, routes: Record<string, Handler>) => Promise<RequestListener>

/** Serves a listener on a free port until the test ends. `timeout`: milliseconds without traffic that end a connection. */
export async function serve (t: Test, listener: RequestListener, timeout = 0): Promise<string> {
  const server: Server = createServer(listener).setTimeout(timeout).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

export async function requestScope (t: Test, name: string, application: Application): Promise<void> {
  const agent = new Agent({ pipelining: 0 })
  t.teardown(() => agent.destroy())

  await t.test(`${name}: req.store ends with the response`, async t => {
    const store = createStore('memory:')
    t.teardown(() => store.close())
    const jobs: Collection<string> = store.collection('jobs')
    let kept: KeyLock<string> | undefined
    let late: Promise<unknown> | undefined
    let failed: unknown
    const hold = async (store: Store, change: string): Promise<KeyLock<string>> => {
      kept = await store.collection<string>('jobs').acquire('key')
      kept.set(change)
      return kept
    }
    const listener = await application(store, {
      '/reply': async store => { await hold(store, 'reply'); return 'done' },
      '/throw': async store => { await hold(store, 'throw'); throw new Error('on purpose') },
      '/refuse': async (store, response) => { await hold(store, 'refuse'); response.statusCode = 404; return 'no' },
      '/hang': async store => { await hold(store, 'hang'); return await new Promise(() => {}) },
      '/wait': async store => {
        try {
          return await store.collection('jobs').get('key')
        } catch (error) {
          failed = error
          throw error
        }
      },
      '/late': async (store, response) => {
        late = once(response, 'close').then(() => store.collection('jobs').acquire('key'))
        late.catch(() => {})
        return 'done'
      },
      '/locked': async store => await store.collection('jobs').get('key', { timeout: 0 }),
      '/own': async store => {
        const collection = store.collection<string>('jobs')
        const lock = await collection.acquire('key')
        lock.set('own')
        await lock.release()
        return await collection.get('key')
      }
    })
    const url = await serve(t, listener)
    const get = async (path: string): Promise<[number, string]> => {
      const { statusCode, body } = await request(url + path, { dispatcher: agent })
      return [statusCode, await body.text()]
    }
    const free = async (): Promise<void> => { await until(async () => (await store.locks()).length === 0) }

    t.strictSame(await get('/reply'), [200, 'done'])
    await free()
    t.equal(await jobs.get('key'), 'reply', 'a reply commits')
    t.equal(kept!.isReleased, true)

    t.equal((await get('/throw'))[0], 500)
    await free()
    t.equal(await jobs.get('key'), 'reply', 'a failure drops the changes')

    t.strictSame(await get('/refuse'), [404, 'no'])
    await free()
    t.equal(await jobs.get('key'), 'refuse', 'a refusal is a reply')

    const controller = new AbortController()
    const hanging = request(url + '/hang', { dispatcher: agent, signal: controller.signal })
    await until(async () => (await store.locks()).length === 1)
    controller.abort()
    await t.rejects(hanging)
    await free()
    t.equal(await jobs.get('key'), 'refuse', 'a client that hangs up drops the changes')

    const lock = await jobs.acquire('key')
    const waiting = new AbortController()
    const waits = request(url + '/wait', { dispatcher: agent, signal: waiting.signal })
    await until(async () => (await store.locks())[0]!.waiters === 1)
    waiting.abort()
    await t.rejects(waits)
    await until(async () => (await store.locks())[0]!.waiters === 0)
    await until(() => failed !== undefined)
    t.match(failed, { code: 'STORE_ABORTED' }, 'a wait is given up when its client has gone')

    t.equal((await get('/locked'))[0], 423, 'an error of the store has its own status')
    await lock.release()

    t.strictSame(await get('/late'), [200, 'done'])
    await t.rejects(late!, { code: 'STORE_ABORTED' }, 'a lock that comes after the response is not kept')
    await free()
    t.strictSame(await get('/own'), [200, 'own'])
  })

  await t.test(`${name}: a request that times out lets go of its lock`, async t => {
    const store = createStore('memory:')
    t.teardown(() => store.close())
    const listener = await application(store, {
      '/hang': async store => {
        await store.collection('jobs').acquire('key')
        return await new Promise(() => {})
      }
    })
    const url = await serve(t, listener, 100)
    await t.rejects(request(url + '/hang', { dispatcher: agent }))
    await until(async () => (await store.locks()).length === 0)
    t.equal((await store.collections())[0]!.reads, 1, 'it had been taken')
  })
}

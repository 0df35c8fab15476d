// A process that has the keys still serves others while it lists them.
import t, { type Test } from 'tap'
import { SessionStore } from '../../src/adapters/session.js'
import { createStore, type Store } from '../../src/index.js'

const KEYS = 5000
const COLLECTIONS = 2500

/** The number of iterations of the event loop that a call takes. */
async function turnsOf (call: () => Promise<unknown>): Promise<number> {
  let turns = 0
  const count = (): void => {
    turns++
    timer = setImmediate(count)
  }
  let timer = setImmediate(count)
  await call()
  clearImmediate(timer)
  return turns
}

async function count (items: AsyncIterable<unknown>): Promise<number> {
  const all = []
  for await (const item of items) all.push(item)
  return all.length
}

async function filled (t: Test): Promise<Store> {
  const store = createStore('memory:')
  t.teardown(() => store.close())
  const entries = Array.from({ length: KEYS }, (_, i) => [`key ${i}`, { user: i }] as const)
  await store.collection('sessions').setMany(entries)
  await Promise.all(Array.from({ length: COLLECTIONS }, (_, i) => store.collection(`of user ${i}`).set('key', i)))
  return store
}

t.test('listing keys and collections leaves turns of the event loop to others', async t => {
  const store = await filled(t)
  const keys = store.collection('sessions')
  const pages = async (): Promise<number> => {
    let found = 0
    let cursor: string | undefined
    do {
      const page: Awaited<ReturnType<typeof keys.page>> = await keys.page({ cursor, limit: 500 })
      found += page.keys.length
      cursor = page.cursor
    } while (cursor !== undefined)
    return found
  }
  const listings: Array<[name: string, size: number, list: () => Promise<number>]> = [
    ['keys', KEYS, async () => await count(keys.keys())],
    ['entries', KEYS, async () => await count(keys.entries())],
    ['page', KEYS, pages],
    ['biggest', KEYS, async () => (await keys.biggest({ examine: KEYS })).examined],
    ['collections', COLLECTIONS + 1, async () => (await store.collections()).length],
    ['sessions', KEYS, async () => await new Promise((resolve, reject) => {
      new SessionStore({ store }).all((error, all) => { if (error) reject(error); else resolve(all!.length) })
    })]
  ]
  for (const [name, size, list] of listings) {
    let found = 0
    const turns = await turnsOf(async () => { found = await list() })
    t.equal(found, size, name)
    t.ok(turns >= Math.floor(size / 1000) - 1, `${name}: one turn at least for each 1000 that follow: ${turns}`)
  }
})

t.test('a page shows what was stored when it was requested', async t => {
  const store = await filled(t)
  const keys = store.collection('sessions')
  const page = keys.page({ limit: 10 })
  const cleared = keys.clear()
  t.equal((await page).keys.length, 10)
  await cleared
  t.equal(await count(keys.keys()), 0)
})

// Batches of calls that take long, and their order. The http engine's tests cover the rest.
import t from 'tap'
import { Reply, type Request } from '../../src/core/engine.js'
import { createStore, type Store } from '../../src/index.js'
import type { SentCall } from '../../src/engines/http/protocol.js'
import { Batch } from '../../routes/batch.js'
import { ANYBODY } from '../../routes/tokens.js'

const RIGHTS = { identity: ANYBODY, maxLease: 1000, ownerOf: () => 'test' }

/** Counts the iterations of the event loop until `work` has ended. */
async function turnsOf (work: () => Promise<void>): Promise<number> {
  let turns = 0
  let isOver = false
  const count = (): void => {
    turns++
    if (!isOver) setImmediate(count)
  }
  setImmediate(count)
  await work()
  isOver = true
  return turns
}

t.test('other events are handled while the calls of a batch are passed to the store, in order', async t => {
  const seen: string[] = []
  const pass = ({ op, key }: Request): void => {
    const start = performance.now()
    while (performance.now() - start < 2); // as long as it takes to read a large value
    seen.push(`${op} ${key}`)
  }
  const store = {
    maxValueBytes: 1000,
    call: async (request: Request) => {
      pass(request)
      return Object.assign(new Reply(), { text: '1', version: 1 })
    },
    post: pass
  }
  const calls = Array.from({ length: 30 }, (_, i): SentCall => (
    i % 2 === 0
      ? { op: 'get', collection: 'c', key: `${i}` }
      : { op: 'set', collection: 'c', key: `${i}`, text: '1', unconfirmed: true }
  ))
  let batch: Batch | undefined
  const turns = await turnsOf(async () => {
    batch = new Batch(store as unknown as Store, calls, RIGHTS)
    await batch.accepted
  })
  t.ok(turns >= 5, `${turns} iterations`)
  t.strictSame(seen, [...calls.map(({ op, key }) => `${op} ${key}`), 'lock '])
  t.equal((JSON.parse(batch!.answer() as string) as unknown[]).length, 15, 'unconfirmed calls have no reply')
})

t.test('other events are handled while a client reads large replies', async t => {
  const store = createStore('memory:')
  t.teardown(() => store.close())
  await store.collection('c').set('k', 'x'.repeat(65_536))
  const calls = Array.from({ length: 512 }, (): SentCall => ({ op: 'get', collection: 'c', key: 'k' }))
  const batch = new Batch(store, calls, RIGHTS)
  await batch.accepted
  let lines = 0
  const turns = await turnsOf(async () => {
    for await (const line of batch.answer()) if (String(line).endsWith('\n')) lines++
  })
  batch.end(true)
  t.equal(lines, 512)
  t.ok(turns >= lines - 1, `${turns} iterations for ${lines} lines`)
})

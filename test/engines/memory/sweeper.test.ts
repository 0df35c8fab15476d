import t from 'tap'
import { createStore } from '../../../src/index.js'

/** The number of timers that keep this process alive. */
const timers = (): number => process.getActiveResourcesInfo().filter(name => name === 'Timeout').length

t.test('only pending work that may cause a reply keeps the process alive', async t => {
  const store = createStore('memory:')
  t.teardown(() => store.close())
  const c = store.collection<number>('c')
  await c.set('ends', 1, { ttl: 3600 })
  const held = await c.acquire('held')
  const before = timers()

  const first = c.get('held')
  await c.size()
  t.equal(timers(), before, 'a lock without a lease does not end by itself')
  await held.release()
  await first

  const leased = await c.acquire('leased', { lease: 3600 })
  t.equal(timers(), before, 'no call waits for the end of the lease')
  const second = c.get('leased')
  await c.size()
  t.equal(timers(), before + 1)
  await leased.release()
  await second
  t.equal(timers(), before)

  const changes = c.watch()[Symbol.asyncIterator]()
  await changes.next()
  await changes.next()
  const next = changes.next()
  while (timers() === before) await new Promise(resolve => { setImmediate(resolve) })
  t.equal(timers(), before + 1, 'a watch may see a key expire')
  await changes.return?.()
  await next
  t.equal(timers(), before)

  await c.setMany(Array.from({ length: 2000 }, (_, i) => [`key ${i}`, i]))
  const cleared = c.clear()
  await Promise.resolve() // the call has been sent
  t.equal(timers(), before + 1, 'a clear is carried out in steps')
  await cleared
  t.equal(timers(), before)
})

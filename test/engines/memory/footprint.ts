// Measures how much heap a key takes, and a collection with one key. Run it in a separate process, with node
// --expose-gc --single-threaded: with more threads, a pending optimization may keep an earlier keyspace alive while
// the heap is measured.
import { Request, type Reply } from '../../../src/core/engine.js'
import { Keyspace } from '../../../src/engines/memory/keyspace.js'
import { Caller } from '../../../src/engines/memory/lock.js'

const KEYS = 25_000
const COLLECTIONS = 10_000
const FEW = 1000
const MONTH = 30 * 86_400_000

class User extends Caller {
  readonly label = 'user'
  answer (_: number, { code }: Reply): void { if (code !== undefined) throw new Error(code) }
  lost (): void {}
}

/** Keeps the measured keyspace alive. Its predecessors become garbage, which keeps gc() fast. */
const kept: Keyspace[] = []
const user = new User()

/** The bytes that each of `count` writes takes. `write` returns their collection and key. */
function footprint (
  count: number, days: number, revision: number, ttl: number | undefined, write: (i: number) => [string, string]
): number {
  let now = 0
  const keyspace = new Keyspace({ time: () => now })
  kept[0] = keyspace
  now = days * 86_400_000
  keyspace.clock.tick()
  keyspace.context.revision = revision
  const set = (i: number): void => {
    const request = new Request('set', ...write(i))
    request.text = '1'
    request.ttl = ttl
    keyspace.submit(request, user, 0)
  }
  for (let i = count; i < count + FEW; i++) set(i)
  const before = heap()
  for (let i = 0; i < count; i++) set(i)
  return Math.round((heap() - before) / count)
}

function heap (): number {
  for (let i = 0; i < 3; i++) gc!()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

const keys = (days: number, revision: number, ttl?: number): number =>
  footprint(KEYS, days, revision, ttl, i => ['c', `key ${i}`])
const collections = (days: number, revision: number, ttl?: number): number =>
  footprint(COLLECTIONS, days, revision, ttl, i => [`user ${i}`, 'key'])

for (let i = 0; i < 4; i++) { // allocates what is needed only once, such as compiled code
  for (const ttl of [undefined, MONTH]) keys(0, 0, ttl)
}
const measured = [[0, 0], [26, 2 ** 31], [4000, 2 ** 48]].map(([days, revision]) => ({
  keys: keys(days!, revision!),
  timedKeys: keys(days!, revision!, MONTH),
  collections: collections(days!, revision!),
  timedCollections: collections(days!, revision!, MONTH)
}))
console.log(JSON.stringify(measured))

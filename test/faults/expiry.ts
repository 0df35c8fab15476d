// Attack: very many keys expire at once, by idle time or ttl, while the primary is busy.
import assert from 'node:assert/strict'
import { Request, type Reply } from '../../src/core/engine.js'
import type { Bytes } from '../../src/core/value.js'
import { Budget } from '../../src/engines/memory/agenda.js'
import { Keyspace } from '../../src/engines/memory/keyspace.js'
import { Caller } from '../../src/engines/memory/lock.js'
import { dispatch } from '../../src/engines/memory/dispatch.js'
import type { Attack } from './attack.js'
import { heap } from './heap.js'
import { kept } from '../support/kept-reply.js'

const IDLE = 1000
const LOOK = 32 // removals between two readings of the clock

class User extends Caller {
  readonly label = 'user'
  last: Reply | undefined
  answer (_: number, reply: Reply<Bytes>): void { this.last = kept(reply) }
  lost (): void {}
}

export const expiry: Attack = async ({ rounds, secondsLeft }) => {
  const isShort = rounds === 1
  const count = isShort ? 300_000 : 1_000_000
  let done = 0
  const slices: number[] = []
  let held = 0
  for (const last = (): boolean => isShort || secondsLeft() <= 0; done === 0 || !last();) {
    let now = 0
    const keyspace = new Keyspace({ time: () => now })
    const user = new User()
    const ask = (request: Request): Reply => {
      dispatch(keyspace, request, user, 1)
      return user.last!
    }
    ask(Object.assign(new Request('configure', 'c', ''), { text: `{"idle":${IDLE}}` }))
    const before = heap()
    for (let i = 0; i < count; i++) {
      ask(
        Object.assign(new Request('set', 'c', `key ${i}`), {
          text: '"value"', ttl: i % 4 === 0 ? IDLE - (i % 100) : undefined
        })
      )
    }
    held = heap() - before
    const entries = keyspace.collection('c')
    now += IDLE
    keyspace.clock.tick()
    while (keyspace.sweep(new Budget())) { /* removes the keys with a shorter ttl */ }
    const due = count / 4 * 0.96
    assert.equal(entries.size, count - due, 'no key expires early')
    now += 1
    keyspace.clock.tick()
    assert.equal(ask(new Request('get', 'c', 'key 1')).text, undefined, 'an unswept key is invisible')
    // A slice reads the clock after every LOOK steps: one whose time is over at the first reading has done LOOK steps.
    let [size, looks] = [entries.size, -1]
    assert.equal(keyspace.sweep(new Budget(() => ++looks * 1000)), true)
    assert.equal(size - entries.size, LOOK)
    for (let more = true; more;) {
      size = entries.size
      looks = 0
      const start = process.cpuUsage() // CPU time does not include preemption by other processes
      more = keyspace.sweep(new Budget(() => {
        looks++
        return performance.now()
      }))
      const { user, system } = process.cpuUsage(start)
      slices.push((user + system) / 1000)
      assert.ok(size - entries.size <= looks * LOOK, 'it reads the clock every LOOK steps')
    }
    assert.deepEqual([entries.size, entries.bytes, entries.expired], [0, 0, count])
    assert.equal(entries.nextEnd, Infinity)
    const left = heap() - before
    assert.ok(left < 0.05 * held, `${left} of ${held} KB are still taken`)
    done += count
  }
  slices.sort((a, b) => a - b)
  return {
    keys: done,
    'bytes of heap per key, before': Math.round(held * 1000 / count),
    slices: slices.length,
    'slices, median/p99.9/longest ms of CPU': [0.5, 0.999, 1].map(share => slices[Math.ceil(slices.length * share) - 1]!.toFixed(2)).join('/'),
    'slices over 2 ms': slices.filter(time => time > 2).length
  }
}

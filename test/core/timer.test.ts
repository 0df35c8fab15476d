import { mock } from 'node:test'
import { performance } from 'node:perf_hooks'
import t from 'tap'
import { Timer } from '../../src/core/timer.js'

const DAY_MS = 86_400_000

t.test('a timer fires after a delay of any length, and can be restarted and stopped', async t => {
  let now = 0
  mock.timers.enable({ apis: ['setTimeout'] })
  const clock = mock.method(performance, 'now', () => now)
  t.teardown(() => { mock.timers.reset(); clock.mock.restore() })
  const advance = (days: number): void => {
    for (let day = 0; day < days; day++) {
      now += DAY_MS
      mock.timers.tick(DAY_MS)
    }
  }

  let calls = 0
  const timer = new Timer()
  timer.start(60 * DAY_MS, () => { calls++ })
  advance(59)
  t.equal(calls, 0)
  advance(1)
  t.equal(calls, 1)
  advance(60)
  t.equal(calls, 1, 'it fires once')

  timer.start(DAY_MS, () => { calls += 10 })
  timer.start(2 * DAY_MS, () => { calls += 100 })
  advance(1)
  t.equal(calls, 1, 'start replaces the pending call')
  advance(1)
  t.equal(calls, 101)
  timer.start(DAY_MS, () => { calls++ })
  timer.stop()
  advance(2)
  t.equal(calls, 101)
})

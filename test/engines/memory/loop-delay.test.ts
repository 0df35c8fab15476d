import { mock } from 'node:test'
import t from 'tap'
import { loopDelay } from '../../../src/engines/memory/loop-delay.js'
import { until } from '../../support/until.js'

t.test('the event loop delay does not depend on who reads it and how often', async t => {
  mock.timers.enable({ apis: ['setInterval'] })
  t.teardown(() => { mock.timers.reset() })
  t.equal(loopDelay(), undefined, 'nothing is known before the first sample')
  await until(loopDelay)
  const end = performance.now() + 200
  while (performance.now() < end);
  const late = await until(() => {
    const delay = loopDelay()
    return delay !== undefined && delay.max >= 150 && delay
  })
  t.ok(late.mean < late.max && late.p99 <= late.max)
  t.ok(loopDelay()!.max >= 150, 'it is still known at the next look')
  mock.timers.tick(60_000)
  const minute = loopDelay()
  t.ok(minute!.max >= 150, 'and when its minute is over')
  t.equal(loopDelay(), minute, 'for the whole of the next one')
  mock.timers.tick(60_000)
  t.not(loopDelay(), minute)
})

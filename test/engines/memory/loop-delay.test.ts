import { mock } from 'node:test'
import t from 'tap'
import { loopDelay } from '../../../src/engines/memory/loop-delay.js'
import { until } from '../../support/until.js'

t.test('the event loop delay does not depend on how often it is read', async t => {
  mock.timers.enable({ apis: ['setInterval'] })
  t.teardown(() => { mock.timers.reset() })
  t.equal(loopDelay(), undefined, 'there is no delay before the first sample')
  await until(loopDelay)
  const end = performance.now() + 200
  while (performance.now() < end);
  const late = await until(() => {
    const delay = loopDelay()
    return delay !== undefined && delay.max >= 150 && delay
  })
  t.ok(late.mean < late.max && late.p99 <= late.max)
  t.ok(loopDelay()!.max >= 150, 'a reading does not reset it')
  mock.timers.tick(60_000)
  const minute = loopDelay()
  t.ok(minute!.max >= 150, 'it is reported when its minute has passed')
  t.equal(loopDelay(), minute, 'during the whole next minute')
  mock.timers.tick(60_000)
  t.not(loopDelay(), minute)
})

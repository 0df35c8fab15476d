import t from 'tap'
import { MAX_SECONDS, checkSeconds, secondsOf } from '../../src/adapters/duration.js'

t.test('durations of libraries are converted to durations that a store accepts', async t => {
  t.equal(secondsOf(1500), 1.5)
  for (const milliseconds of [0, -1, -Infinity, 0.5]) t.equal(secondsOf(milliseconds), 0.001)
  for (const milliseconds of [Infinity, NaN, 1e300]) t.equal(secondsOf(milliseconds), MAX_SECONDS)
})

t.test('durations in the options of adapters are validated', async t => {
  t.equal(checkSeconds(Infinity, 'ttl'), Infinity)
  for (const seconds of [0, NaN, '1', null]) {
    t.throws(() => checkSeconds(seconds, 'ttl'), { code: 'STORE_OPTION_INVALID', detail: /^invalid ttl: / })
  }
})

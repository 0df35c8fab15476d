import { getEventListeners } from 'node:events'
import t from 'tap'
import { offAbort, onAbort } from '../../src/core/abort-signals.js'

t.test('a signal has one listener, however many calls use it, and none once they are done', async t => {
  const controller = new AbortController()
  const called = new Set<number>()
  const calls = Array.from({ length: 1000 }, (_, i) => () => { called.add(i) })
  for (const fn of calls) onAbort(controller.signal, fn)
  t.equal(getEventListeners(controller.signal, 'abort').length, 1)
  for (const fn of calls.slice(1)) offAbort(controller.signal, fn)
  controller.abort()
  t.strictSame([...called], [0])
  offAbort(controller.signal, calls[0]!)
  t.equal(getEventListeners(controller.signal, 'abort').length, 0)
})

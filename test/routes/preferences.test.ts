// The syntax of the Prefer header (RFC 7240).
import t from 'tap'
import { preferencesOf } from '../../routes/preferences.js'

t.test('names and values are parsed, parameters and malformed parts are ignored', async t => {
  for (const [header, expected] of [
    [undefined, {}],
    ['', {}],
    ['wait=10', { wait: '10' }],
    ['  Wait = 10  ', { wait: '10' }],
    ['wait="10"', { wait: '10' }],
    ['a="x\\"y\\\\z", wait=1', { a: 'x"y\\z', wait: '1' }],
    ['respond-async, wait=10 ,processing', { 'respond-async': '', wait: '10', processing: '' }],
    ['wait=1, WAIT=2', { wait: '1' }],
    ['wait, wait=2', { wait: '' }],
    ['wait=, processing', { wait: '', processing: '' }],
    ['foo; wait=1', { foo: '' }],
    ['foo=2; wait=1; processing, wait=3', { foo: '2', wait: '3' }],
    ['foo="a, wait=9"; b', { foo: 'a, wait=9' }],
    [', ,;=;, wait=4', { wait: '4' }],
    ['foo bar wait=1', { foo: '' }],
    ['foo="unclosed, wait=5', { foo: 'unclosed, wait=5' }],
    [['wait=1', 'processing'], { wait: '1', processing: '' }]
  ] as Array<[string | string[] | undefined, object]>) {
    t.strictSame(Object.fromEntries(preferencesOf(header)), expected, String(header))
  }
})

t.test('parsing takes linear time', async t => {
  for (const unit of ['; ', '"\\', ' ,', 'a ', '="']) t.ok(preferencesOf(unit.repeat(50_000)).size <= 1)
})

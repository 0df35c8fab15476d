import t from 'tap'
import { fromBytes, json, text, toBytes } from '../../src/core/value.js'

t.test('values that JSON cannot represent are rejected', async t => {
  const cyclic: { self?: unknown } = {}
  cyclic.self = cyclic
  for (const value of [undefined, () => {}, Symbol('s'), 1n, cyclic, { toJSON: () => undefined }, { deep: [1n] }]) {
    t.throws(() => json.encode(value, 100), { code: 'STORE_VALUE_INVALID' }, typeof value)
  }
})

t.test('the size limit applies to the UTF-8 encoding', async t => {
  t.equal(json.encode('x'.repeat(98), 100).length, 100)
  t.throws(() => json.encode('x'.repeat(99), 100), {
    code: 'STORE_VALUE_TOO_LARGE', message: /101 bytes, the limit is 100/
  })
  t.equal(json.encode('é'.repeat(49), 100).length, 51)
  t.throws(() => json.encode('é'.repeat(50), 100), { code: 'STORE_VALUE_TOO_LARGE' })
})

t.test('text of any length is measured as UTF-8, wherever it is not ASCII', async t => {
  for (const length of [511, 512, 16_384, 16_385, 50_000]) {
    for (const [character, size] of [['x', 1], ['\u007f', 1], ['é', 2], ['ÿ', 2], ['ж', 2], ['漢', 3]] as const) {
      for (const at of [0, 511, 16_383, 16_384, length - 1]) {
        if (at >= length) continue
        const value = 'x'.repeat(at) + character + 'x'.repeat(length - at - 1)
        const bytes = length + 1 + size
        if (json.encode(value, bytes).length !== length + 2) throw new Error('other text')
        t.throws(() => json.encode(value, bytes - 1), { code: 'STORE_VALUE_TOO_LARGE' }, `${character} at ${at} of ${length}`)
        t.equal(toBytes(value).length, bytes - 2)
        t.equal(fromBytes(toBytes(value)), value)
      }
    }
  }
})

t.test('JSON text is validated and passed through unchanged', async t => {
  t.equal(text.encode('{ "a" : 1 }', 100), '{ "a" : 1 }')
  t.equal(text.decode('{ "a" : 1 }'), '{ "a" : 1 }')
  for (const value of ['{', '', 'undefined', '"\ud800"', 5]) {
    t.throws(() => text.encode(value, 100), { code: 'STORE_VALUE_INVALID' })
  }
  t.throws(() => text.encode('"four"', 5), { code: 'STORE_VALUE_TOO_LARGE' })
})

t.test('toBytes returns one character per byte, and fromBytes restores the text', async t => {
  for (const sample of ['', 'ascii', 'é', '€', '😀', '\u0000\u007f\u0080\u00ff', 'mixed é€😀 text']) {
    t.equal(toBytes(sample).length, Buffer.byteLength(sample))
    t.equal(fromBytes(toBytes(sample)), sample)
  }
})

t.test('decoding text that is not JSON throws STORE_PROTOCOL', async t => {
  for (const text of ['', '{', '\u{fffd}', 'undefined']) {
    t.throws(() => json.decode(text), { code: 'STORE_PROTOCOL' }, text)
  }
})

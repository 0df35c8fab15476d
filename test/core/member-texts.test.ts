// memberTexts returns the text of each value as it was written, whatever surrounds it.
import fc from 'fast-check'
import t from 'tap'
import { memberTexts } from '../../src/core/member-texts.js'

t.test('memberTexts: returns the text of a member for each object in a list', async t => {
  for (const [json, texts] of [
    ['[]', []],
    ['[{}]', [undefined]],
    ['[{"value":1}]', ['1']],
    [' [ { "value" : 1.0 , "key" : "a" } , { "key" : "value" } ] ', ['1.0', undefined]],
    ['[{"value":[1,{"value":2}],"more":{"value":3}}]', ['[1,{"value":2}]']],
    ['[{"a":"\\\\","value":"\\\\\\""}]', ['"\\\\\\""']],
    ['[{"\\u0076alue":1}, {"value":1,"value":2}]', ['1', '2']]
  ] as Array<[string, unknown[]]>) t.strictSame(memberTexts(json, 'value'), texts, json)
})

t.test('memberTexts: finds the same values as JSON.parse in arbitrary lists', async t => {
  const item = { key: fc.string(), value: fc.jsonValue(), other: fc.jsonValue() }
  const lists = fc.array(fc.record(item, { requiredKeys: [] }))
  fc.assert(fc.property(lists, fc.constantFrom(undefined, 2), (list, indent) => {
    const json = JSON.stringify(list, undefined, indent)
    const items = JSON.parse(json) as object[]
    const expected = items.map(item => 'value' in item ? JSON.stringify(item.value) : undefined)
    const found = memberTexts(json, 'value').map(text => text === undefined ? text : JSON.stringify(JSON.parse(text)))
    t.strictSame(found, expected)
  }))
})

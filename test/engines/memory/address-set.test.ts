import fc from 'fast-check'
import t from 'tap'
import { AddressSet } from '../../../src/engines/memory/address-set.js'

t.test('it has what was added and not deleted, and visits it in pages', async t => {
  // Few pages, at both ends of the addresses and in between. Addresses are 32-bit words: the last are negative.
  const address = fc.tuple(fc.constantFrom(0, 1, 7, 2 ** 18 - 1, 2 ** 19 - 1), fc.nat(2 ** 13 - 1), fc.boolean())
    .map(([page, unit, isFew]) => page << 13 | (isFew ? unit & 35 : unit))
  const step = fc.record({ op: fc.constantFrom('add', 'add', 'delete', 'some'), address })
  fc.assert(fc.property(fc.array(step, { maxLength: 300 }), steps => {
    const set = new AddressSet()
    const model = new Set<number>()
    for (const { op, address } of steps) {
      if (op === 'add') {
        set.add(address)
        model.add(address)
      } else if (op === 'delete') {
        if (set.delete(address) !== model.delete(address)) return false
      } else {
        const [page] = [...model].map(address => address >>> 13).sort((a, b) => a - b)
        const expected = [...model].filter(address => address >>> 13 === page).sort((a, b) => a - b)
        if (set.some().join() !== expected.join()) return false
      }
      if (set.size !== model.size) return false
    }
    return true
  }), { numRuns: 300 })
  t.pass()
})

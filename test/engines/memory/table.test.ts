import t from 'tap'
import { hash } from '../../../src/engines/memory/hash.js'
import { keyed } from '../../../src/engines/memory/keyed.js'
import { Table } from '../../../src/engines/memory/table.js'

interface Item {
  key: string
  value: number
}
const named = (key: string): Item => ({ key, value: 0 })

/** All keys, page by page. `between` may change the table between two pages. */
function walk (table: Table<Item>, limit: number, between = () => {}): string[] {
  const seen: string[] = []
  for (let at: number | undefined = 0; at !== undefined;) {
    const { values, next }: { values: Item[], next: number | undefined } = table.page(at, limit)
    seen.push(...values.map(({ key }) => key))
    at = next
    between()
  }
  return seen
}

// The first test vectors of Linux, in lib/siphash_kunit.c.
t.test('the hash matches the test vectors of hsiphash', async t => {
  const vectors = [
    0x5814c896, 0xe7e864ca, 0xbc4b0e30, 0x01539939, 0x7e059ea6, 0x88e3d89b, 0xa0080b65, 0x9d38d9d6, 0x577999b1,
    0xc839caed
  ]
  const bytes = String.fromCharCode(...vectors.keys())
  const hashes = vectors.map((_, length) => {
    const words = new Int32Array(3)
    const hashed = hash(bytes.slice(0, length), [0x03020100, 0x07060504], words)
    t.equal(Buffer.from(words.buffer).toString('latin1', 0, length), bytes.slice(0, length), 'words has its bytes')
    return hashed
  })
  t.strictSame(hashes, vectors)
})

t.test('a table has the same content as a Map while it grows and shrinks', async t => {
  const table = new Table<Item>(keyed)
  const model = new Map<string, number>()
  let random = 7
  for (let i = 0; i < 60_000; i++) {
    random = (random * 48271) % 2147483647
    const key = `key ${random % 20_000}`
    if (model.has(key) && (i > 40_000 || random % 3 === 0)) {
      table.delete(key)
      model.delete(key)
    } else if (!model.has(key) && i <= 40_000) {
      table.add({ key, value: i })
      model.set(key, i)
    }
    table.delete('none')
    if (table.size !== model.size || table.get(key)?.value !== model.get(key)) t.fail(`step ${i}`)
  }
  t.strictSame(table.page(0, Infinity).values.map(({ key, value }) => [key, value]).sort(), [...model].sort())
  for (const key of model.keys()) table.delete(key)
  t.equal(table.size, 0)
})

t.test('pages have about the requested size, and contain each key once', async t => {
  const table = new Table<Item>(keyed)
  const keys = Array.from({ length: 30_000 }, (_, i) => `key ${i}`)
  for (const key of keys) table.add(named(key))
  for (const limit of [1, 7, 1000, 100_000]) {
    const { values } = table.page(0, limit)
    t.ok(values.length >= Math.min(limit, 30_000) && values.length <= limit + 1, `${values.length} for ${limit}`)
  }
  t.strictSame(walk(table, 100).sort(), keys.slice().sort())
})

t.test('a walk sees each key that is present throughout exactly once, however the table changes', async t => {
  for (const [before, during] of [[500, 20_000], [30_000, -29_000], [3000, 3000]] as const) {
    const table = new Table<Item>(keyed)
    const stays = Array.from({ length: 300 }, (_, i) => `stays ${i}`)
    for (const key of stays) table.add(named(key))
    let number = 0
    for (; number < before; number++) table.add(named(`other ${number}`))
    let left = Math.abs(during)
    const seen = walk(table, 100, () => {
      for (let i = 0; i < 1000 && left > 0; i++, left--) {
        if (during > 0) table.add(named(`other ${number++}`))
        else table.delete(`other ${--number}`)
      }
    })
    t.strictSame(
      seen.filter(key => key.startsWith('stays')).sort(), stays.slice().sort(), `${before} keys and ${during} more`
    )
    const met: string[] = []
    for (const { key } of table.walk()) {
      if (key.startsWith('stays')) met.push(key)
      for (let i = 0; i < 5 && number < 20_000; i++) table.add(named(`other ${number++}`))
      if (met.length > 200 && number > 0) table.delete(`other ${--number}`)
    }
    t.strictSame(met.sort(), stays.slice().sort())
  }
})

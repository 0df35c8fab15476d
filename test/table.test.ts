import t from 'tap'
import { Table } from '../src/memory/table.js'

/** All values, page by page; `between` may change the table meanwhile. */
function walk (table: Table<string>, limit: number, between = () => {}): string[] {
  const seen: string[] = []
  for (let at: number | undefined = 0; at !== undefined;) {
    const { values, next }: { values: string[], next: number | undefined } = table.page(at, limit)
    seen.push(...values)
    at = next
    between()
  }
  return seen
}

t.test('it holds what a Map holds, while it grows and shrinks', async t => {
  const table = new Table<number>(1)
  const model = new Map<string, number>()
  let random = 7
  for (let i = 0; i < 60_000; i++) {
    random = (random * 48271) % 2147483647
    const key = `key ${random % 20_000}`
    if (model.has(key) && (i > 40_000 || random % 3 === 0)) {
      table.delete(key)
      model.delete(key)
    } else if (!model.has(key) && i <= 40_000) {
      table.add(key, i)
      model.set(key, i)
    }
    table.delete('none')
    if (table.size !== model.size || table.get(key) !== model.get(key)) t.fail(`step ${i}`)
  }
  t.strictSame([...table.values()].sort(), [...model.values()].sort())
  for (const key of model.keys()) table.delete(key)
  t.equal(table.size, 0)
})

t.test('pages have about the size that was asked for, and each key once', async t => {
  const table = new Table<string>()
  const keys = Array.from({ length: 30_000 }, (_, i) => `key ${i}`)
  for (const key of keys) table.add(key, key)
  for (const limit of [1, 7, 1000, 100_000]) {
    const { values } = table.page(0, limit)
    t.ok(values.length >= Math.min(limit, 30_000) && values.length <= limit + 1, `${values.length} for ${limit}`)
  }
  t.strictSame(walk(table, 100).sort(), keys.slice().sort())
})

t.test('a walk sees what is there all the while once, however the table changes', async t => {
  for (const [before, during] of [[500, 20_000], [30_000, -29_000], [3000, 3000]] as const) {
    const table = new Table<string>()
    const stays = Array.from({ length: 300 }, (_, i) => `stays ${i}`)
    for (const key of stays) table.add(key, key)
    let number = 0
    for (; number < before; number++) table.add(`other ${number}`, 'other')
    let left = Math.abs(during)
    const seen = walk(table, 100, () => {
      for (let i = 0; i < 1000 && left > 0; i++, left--) {
        if (during > 0) table.add(`other ${number++}`, 'other')
        else table.delete(`other ${--number}`)
      }
    })
    t.strictSame(seen.filter(key => key !== 'other').sort(), stays.slice().sort(), `${before} keys and ${during} more`)
  }
})

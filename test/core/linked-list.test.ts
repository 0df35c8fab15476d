import t from 'tap'
import { append, moveToEnd, remove, type ListNode } from '../../src/core/linked-list.js'

interface Letter extends ListNode<Letter> { name: string }

function listOf (names: string): { first: Letter | undefined, byName: Record<string, Letter> } {
  let first: Letter | undefined
  const byName: Record<string, Letter> = {}
  for (const name of names) first = append(first, byName[name] = { name, prev: undefined, next: undefined })
  return { first, byName }
}

function namesOf (first: Letter | undefined): string {
  let names = ''
  for (let node = first; node !== undefined; node = node.next) {
    names += node.name
    if (node.next === undefined) t.equal(first!.prev, node, 'prev of the first node is the last one')
    else t.equal(node.next.prev, node)
  }
  return names
}

t.test('append, remove and moveToEnd work at both ends and in the middle', async t => {
  for (const [name, removed, moved] of [['a', 'bcd', 'bcda'], ['b', 'acd', 'acdb'], ['d', 'abc', 'abcd']] as const) {
    const one = listOf('abcd')
    t.equal(namesOf(remove(one.first!, one.byName[name]!)), removed)
    t.match(one.byName[name], { prev: undefined, next: undefined })
    const other = listOf('abcd')
    t.equal(namesOf(moveToEnd(other.first!, other.byName[name]!)), moved)
  }
  const { first } = listOf('a')
  t.equal(remove(first!, first!), undefined)
})

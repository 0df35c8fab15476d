import fc from 'fast-check'
import t from 'tap'
import { Heap, type HeapNode } from '../../../src/engines/memory/heap.js'

t.test('nodes are returned in the order of their times, and any can be removed', async t => {
  fc.assert(fc.property(fc.array(fc.nat(20)), fc.infiniteStream(fc.nat()), (times, picks) => {
    const heap = new Heap<HeapNode>({ at: node => node })
    const nodes = new Map<HeapNode, number>()
    for (const time of times) {
      const node = { slot: -1 }
      nodes.set(node, time)
      heap.add(node, time)
      if (nodes.size % 3 > 0) continue
      const picked = [...nodes.keys()][picks.next().value % nodes.size]!
      if (heap.timeOf(picked) !== nodes.get(picked)) return false
      heap.remove(picked)
      nodes.delete(picked)
      if (picked.slot !== -1) return false
    }
    const order = []
    while (!heap.isEmpty) {
      order.push(heap.time)
      heap.remove(heap.first!)
    }
    t.strictSame(order, [...nodes.values()].sort((a, b) => a - b))
    return heap.time === Infinity && heap.first === undefined
  }))
})

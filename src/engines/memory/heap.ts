// A priority queue by time: a binary heap whose nodes know their index, so any node can be removed. Times are kept in
// an array of their own, where each takes eight bytes.

export interface HeapNode {
  /** Index in the heap; -1 if not in it. */
  slot: number
}

const NONE: never[] = []

export class Heap<T extends HeapNode> {
  // Most heaps have one node and need no arrays.
  #only: T | undefined
  #time = 0
  #nodes: T[] = NONE
  #times: number[] = NONE

  get isEmpty (): boolean {
    return this.#only === undefined && this.#nodes.length === 0
  }

  get first (): T | undefined {
    return this.#only ?? this.#nodes[0]
  }

  /** Time of the first node; Infinity if there is none. */
  get time (): number {
    if (this.#only !== undefined) return this.#time
    return this.#nodes.length === 0 ? Infinity : this.#times[0]!
  }

  timeOf (node: T): number {
    return node === this.#only ? this.#time : this.#times[node.slot]!
  }

  add (node: T, time: number): void {
    if (this.isEmpty) {
      this.#only = node
      this.#time = time
      node.slot = 0
      return
    }
    if (this.#only !== undefined) {
      this.#nodes = [this.#only]
      this.#times = [this.#time]
      this.#only = undefined
    }
    this.#nodes.push(node)
    this.#times.push(time)
    this.up(node, time, this.#nodes.length - 1)
  }

  remove (node: T): void {
    const { slot } = node
    if (node === this.#only) {
      this.#only = undefined
      node.slot = -1
      return
    }
    const last = this.#nodes.pop()!
    const time = this.#times.pop()!
    node.slot = -1
    if (last === node) return
    this.up(last, time, slot)
    this.down(last, time, last.slot)
  }

  private up (node: T, time: number, slot: number): void {
    while (slot > 0) {
      const parent = (slot - 1) >> 1
      if (this.#times[parent]! <= time) break
      this.put(this.#nodes[parent]!, this.#times[parent]!, slot)
      slot = parent
    }
    this.put(node, time, slot)
  }

  private down (node: T, time: number, slot: number): void {
    const times = this.#times
    for (;;) {
      let child = 2 * slot + 1
      if (child >= times.length) break
      if (child + 1 < times.length && times[child + 1]! < times[child]!) child++
      if (times[child]! >= time) break
      this.put(this.#nodes[child]!, times[child]!, slot)
      slot = child
    }
    this.put(node, time, slot)
  }

  private put (node: T, time: number, slot: number): void {
    this.#nodes[slot] = node
    this.#times[slot] = time
    node.slot = slot
  }
}

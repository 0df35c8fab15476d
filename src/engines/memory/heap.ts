// A priority queue by time: a binary heap in which each node knows its place, so that any can be taken out. The times stand
// in an array of their own, where they take eight bytes each however large they get.

export interface HeapNode {
  /** Its place in the heap; -1 outside. */
  slot: number
}

export class Heap<T extends HeapNode> {
  #nodes: T[] = []
  #times: number[] = []

  get size (): number {
    return this.#nodes.length
  }

  get first (): T | undefined {
    return this.#nodes[0]
  }

  /** Of the first; Infinity where there is none. */
  get time (): number {
    return this.#nodes.length === 0 ? Infinity : this.#times[0]!
  }

  timeOf (node: T): number {
    return this.#times[node.slot]!
  }

  add (node: T, time: number): void {
    if (this.#nodes.length === 0) { // arrays that grow take room for sixteen more; most heaps have one node
      this.#nodes = [node]
      this.#times = [time]
      node.slot = 0
      return
    }
    this.#nodes.push(node)
    this.#times.push(time)
    this.#up(node, time, this.#nodes.length - 1)
  }

  remove (node: T): void {
    const { slot } = node
    const last = this.#nodes.pop()!
    const time = this.#times.pop()!
    node.slot = -1
    if (last === node) return
    this.#up(last, time, slot)
    this.#down(last, time, last.slot)
  }

  #up (node: T, time: number, slot: number): void {
    while (slot > 0) {
      const parent = (slot - 1) >> 1
      if (this.#times[parent]! <= time) break
      this.#put(this.#nodes[parent]!, this.#times[parent]!, slot)
      slot = parent
    }
    this.#put(node, time, slot)
  }

  #down (node: T, time: number, slot: number): void {
    const times = this.#times
    for (;;) {
      let child = 2 * slot + 1
      if (child >= times.length) break
      if (child + 1 < times.length && times[child + 1]! < times[child]!) child++
      if (times[child]! >= time) break
      this.#put(this.#nodes[child]!, times[child]!, slot)
      slot = child
    }
    this.#put(node, time, slot)
  }

  #put (node: T, time: number, slot: number): void {
    this.#nodes[slot] = node
    this.#times[slot] = time
    node.slot = slot
  }
}

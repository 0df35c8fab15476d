// A priority queue by time: a binary heap whose nodes know their index, so any node can be removed. Times are kept in
// an array of their own, where each takes eight bytes. Nodes are represented by items, for example ids.

export interface HeapNode {
  /** Index in the heap; -1 if not in it. */
  slot: number
}

export interface Nodes<T> {
  /** The node of an item. */
  at (item: T): HeapNode
}

const NONE: never[] = []

export class Heap<T> {
  readonly #nodes: Nodes<T>
  // Most heaps have one item and need no arrays.
  #only: T | undefined
  #time = 0
  #items: T[] = NONE
  #times: number[] = NONE

  constructor (nodes: Nodes<T>) {
    this.#nodes = nodes
  }

  get isEmpty (): boolean {
    return this.#only === undefined && this.#items.length === 0
  }

  get first (): T | undefined {
    return this.#only ?? this.#items[0]
  }

  /** Time of the first item; Infinity if there is none. */
  get time (): number {
    if (this.#only !== undefined) return this.#time
    return this.#items.length === 0 ? Infinity : this.#times[0]!
  }

  timeOf (item: T): number {
    return item === this.#only ? this.#time : this.#times[this.#nodes.at(item).slot]!
  }

  add (item: T, time: number): void {
    if (this.isEmpty) {
      this.#only = item
      this.#time = time
      this.#nodes.at(item).slot = 0
      return
    }
    if (this.#only !== undefined) {
      this.#items = [this.#only]
      this.#times = [this.#time]
      this.#only = undefined
    }
    this.#items.push(item)
    this.#times.push(time)
    this.up(item, time, this.#items.length - 1)
  }

  /** Replaces an item by another that has its slot. */
  replace (item: T, by: T): void {
    if (item === this.#only) this.#only = by
    else this.#items[this.#nodes.at(by).slot] = by
  }

  remove (item: T): void {
    const node = this.#nodes.at(item)
    const { slot } = node
    node.slot = -1
    if (item === this.#only) {
      this.#only = undefined
      return
    }
    const last = this.#items.pop()!
    const time = this.#times.pop()!
    if (last === item) return
    this.up(last, time, slot)
    this.down(last, time, this.#nodes.at(last).slot)
  }

  private up (item: T, time: number, slot: number): void {
    while (slot > 0) {
      const parent = (slot - 1) >> 1
      if (this.#times[parent]! <= time) break
      this.put(this.#items[parent]!, this.#times[parent]!, slot)
      slot = parent
    }
    this.put(item, time, slot)
  }

  private down (item: T, time: number, slot: number): void {
    const times = this.#times
    for (;;) {
      let child = 2 * slot + 1
      if (child >= times.length) break
      if (child + 1 < times.length && times[child + 1]! < times[child]!) child++
      if (times[child]! >= time) break
      this.put(this.#items[child]!, times[child]!, slot)
      slot = child
    }
    this.put(item, time, slot)
  }

  private put (item: T, time: number, slot: number): void {
    this.#items[slot] = item
    this.#times[slot] = time
    this.#nodes.at(item).slot = slot
  }
}

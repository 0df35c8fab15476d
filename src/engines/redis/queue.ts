// First in, first out, with removal from the middle. Every operation takes constant time.

export class Queue<T> {
  readonly #items = new Set<T>()
  // Kept between calls: an iterator that starts over would walk past everything that was removed before.
  #iterator: IterableIterator<T> | undefined

  get size (): number {
    return this.#items.size
  }

  has (item: T): boolean {
    return this.#items.has(item)
  }

  push (item: T): void {
    this.#items.add(item)
  }

  /** Whether it was in the queue. */
  delete (item: T): boolean {
    return this.#items.delete(item)
  }

  shift (): T | undefined {
    if (this.#items.size === 0) return undefined
    this.#iterator ??= this.#items.values()
    const { value, done } = this.#iterator.next()
    if (done === true) {
      this.#iterator = undefined
      return this.shift()
    }
    this.#items.delete(value)
    return value
  }
}

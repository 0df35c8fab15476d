// An async iterable that can be ended while a `next` is pending. An async generator alone cannot.

export class EventStream<E> implements AsyncIterableIterator<E> {
  readonly #events: AsyncGenerator<E, undefined, undefined>
  readonly #controller = new AbortController()

  /** `run` must return soon after the signal aborts. It is started by the first `next`. */
  constructor (run: (ended: AbortSignal) => AsyncGenerator<E, undefined, undefined>) {
    this.#events = run(this.#controller.signal)
  }

  next (): Promise<IteratorResult<E, undefined>> {
    return this.#events.next()
  }

  /** Ends the stream: a pending `next` resolves with `done: true`. */
  return (): Promise<IteratorResult<E, undefined>> {
    this.#controller.abort()
    return this.#events.return(undefined)
  }

  throw (error: unknown): Promise<IteratorResult<E, undefined>> {
    this.#controller.abort()
    return this.#events.throw(error)
  }

  [Symbol.asyncIterator] (): this {
    return this
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    await this.return()
  }
}

/** A wakeup event: `wait` resolves on the next `wake`, or at once if there was one since the last `wait`. */
export class Wake {
  #isAwake = false
  #resolve: (() => void) | undefined

  wake (): void {
    this.#isAwake = true
    this.#resolve?.()
  }

  async wait (): Promise<void> {
    if (!this.#isAwake) await new Promise<void>(resolve => { this.#resolve = resolve })
    this.#resolve = undefined
    this.#isAwake = false
  }
}

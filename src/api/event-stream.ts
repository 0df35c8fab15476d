// An async iterable that can be ended while a `next` is pending. An async generator alone cannot.
import { Aborter } from '../core/abort-signals.js'

export class EventStream<E> implements AsyncIterableIterator<E> {
  readonly #events: AsyncGenerator<E, undefined, undefined>
  readonly #ended = new Aborter()

  /** `run` must return soon after `ended` aborts. It is started by the first `next`. */
  constructor (run: (ended: Aborter) => AsyncGenerator<E, undefined, undefined>) {
    this.#events = run(this.#ended)
  }

  next (): Promise<IteratorResult<E, undefined>> {
    return this.#events.next()
  }

  /** Ends the stream: a pending `next` resolves with `done: true`. */
  return (): Promise<IteratorResult<E, undefined>> {
    this.#ended.abort()
    return this.#events.return(undefined)
  }

  throw (error: unknown): Promise<IteratorResult<E, undefined>> {
    this.#ended.abort()
    return this.#events.throw(error)
  }

  [Symbol.asyncIterator] (): this {
    return this
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    await this.return()
  }
}

/** A wakeup event: `wait` resolves on the next `wake`, or immediately if there was one since the last `wait`. */
export class Wake {
  #isAwake = false
  #resolve: (() => void) | undefined

  wake (): void {
    if (this.#resolve === undefined) this.#isAwake = true
    else this.#resolve()
    this.#resolve = undefined
  }

  wait (): Promise<void> {
    return new Promise(resolve => {
      if (this.#isAwake) resolve()
      else this.#resolve = resolve
      this.#isAwake = false
    })
  }
}

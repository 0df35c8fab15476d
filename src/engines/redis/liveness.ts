// Notices a server that has gone silent. A busy server is not a silent one: what counts is when it last said anything
// on a connection, and only while an answer is outstanding. Silence is counted in beats of a timer, so that a process
// whose own event loop was blocked, or that was stopped, does not take its own pause for the server's.
import type { Redis } from 'ioredis'

/** Beats without a word after which a server counts as silent. */
const BEATS = 10

interface Line {
  isAwaited: boolean
  silentBeats: number
}

export class Liveness {
  readonly #lines = new Map<Redis, Line>()
  readonly #silent: (node: Redis) => void
  readonly #timer: NodeJS.Timeout

  /** `life`: milliseconds of silence that are too many. `isBusy`: whether calls are outstanding. */
  constructor (life: number, isBusy: () => boolean, silent: (node: Redis) => void) {
    this.#silent = silent
    this.#timer = setInterval(() => {
      // What has arrived while this process was busy is read first.
      setImmediate(() => { this.#beat(isBusy()) })
    }, life / BEATS).unref()
  }

  watch (node: Redis): void {
    const line: Line = { isAwaited: false, silentBeats: 0 }
    this.#lines.set(node, line)
    const listen = (): void => { node.stream.on('data', () => { line.silentBeats = 0 }) }
    if (node.status === 'ready' || node.status === 'connect') listen()
    else node.once('connect', listen)
  }

  forget (node: Redis): void {
    this.#lines.delete(node)
  }

  /** Makes sure that a server answers on this connection. */
  expect (node: Redis): void {
    const line = this.#lines.get(node)
    if (line === undefined || line.isAwaited) return
    line.isAwaited = true
    line.silentBeats = 0
    node.ping().catch(() => {}).finally(() => { line.isAwaited = false })
  }

  stop (): void {
    clearInterval(this.#timer)
    this.#lines.clear()
  }

  #beat (isBusy: boolean): void {
    for (const [node, line] of this.#lines) {
      if (line.isAwaited && ++line.silentBeats > BEATS) this.#silent(node)
      else if (isBusy && node.status !== 'wait') this.expect(node)
    }
  }
}

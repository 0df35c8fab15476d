// Detects a server that no longer responds. A busy server still sends something, so any data on a connection counts,
// and only connections with an outstanding reply are checked. Silence is counted in timer ticks rather than in time, so
// that a process that was stopped, or whose event loop was blocked, does not blame the server for its own pause.
import type { Redis } from 'ioredis'

/** Ticks without any data after which a server counts as silent. */
const BEATS = 10

interface Line {
  isAwaited: boolean
  silentBeats: number
  /** By the last tick. */
  bytesRead: number
}

export class Liveness {
  readonly #lines = new Map<Redis, Line>()
  readonly #silent: (node: Redis) => void
  readonly #timer: NodeJS.Timeout

  /** `life`: maximum silence in milliseconds. `isBusy`: whether calls are outstanding. */
  constructor (life: number, isBusy: () => boolean, silent: (node: Redis) => void) {
    this.#silent = silent
    this.#timer = setInterval(() => {
      // First read what has arrived while this process was busy.
      setImmediate(() => { this.#beat(isBusy()) })
    }, life / BEATS).unref()
  }

  watch (node: Redis): void {
    this.#lines.set(node, { isAwaited: false, silentBeats: 0, bytesRead: 0 })
  }

  forget (node: Redis): void {
    this.#lines.delete(node)
  }

  /** Pings the server, if no ping is pending on this connection. */
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
      const { bytesRead = 0 } = node.stream as Partial<Redis['stream']> | undefined ?? {}
      if (bytesRead !== line.bytesRead) line.silentBeats = 0
      line.bytesRead = bytesRead
      if (line.isAwaited && ++line.silentBeats > BEATS) this.#silent(node)
      else if (isBusy && node.status !== 'wait') this.expect(node)
    }
  }
}

// Finds the store and connects to it, with retries until the timeout.
import { performance } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { StoreError, detailOf } from '../../core/errors.js'
import { Timer } from '../../core/timer.js'
import type { Address, Discovery } from './address.js'
import { Connection } from './connection.js'
import { checkGreeting } from './greeting.js'
import { writeHello } from './protocol.js'
import { connectTo } from './read-buffer.js'

const RETRY_MS = 50
const MAX_RETRY_MS = 500

export interface DialSettings {
  discovery: Discovery
  /** Milliseconds to find the store and connect. */
  connectTimeout: number
  /** Owner label of this client's locks, at most 150 characters. */
  label: string
}

export interface DialHandler {
  /** Called when a connection is open, before its first frame. */
  opened (connection: Connection): void
  /** Called before the frames of a read. */
  batch (): void
  frame (buffer: Buffer, at: number, end: number): void
  /** Called once when an open connection has ended, with the error if there is one. */
  closed (connection: Connection, error: Error | undefined): void
}

export class Dialer {
  readonly #settings: DialSettings
  readonly #handler: DialHandler
  readonly #abort = new AbortController()
  /** Since the last success, if calls follow a failure immediately: the pause in milliseconds, and when it ends. */
  #pause = 0
  #pausedUntil = 0

  constructor (settings: DialSettings, handler: DialHandler) {
    this.#settings = settings
    this.#handler = handler
    settings.discovery.prepare?.(settings.connectTimeout, this.#abort.signal)
  }

  /** Resolves when a connection is open. STORE_UNREACHABLE. Pauses first if the previous attempt has just failed. */
  async dial (): Promise<void> {
    const pause = this.#pausedUntil - performance.now()
    if (pause > 0) await delay(pause, undefined, { signal: this.#abort.signal }).catch(() => {})
    try {
      await this.#dial()
      this.#pause = 0
    } catch (error) {
      this.#pause = Math.min(Math.max(RETRY_MS, this.#pause * 2), MAX_RETRY_MS)
      this.#pausedUntil = performance.now() + this.#pause
      throw error
    }
  }

  async #dial (): Promise<void> {
    const { discovery, connectTimeout } = this.#settings
    const { signal } = this.#abort
    const end = performance.now() + connectTimeout
    let pause = RETRY_MS
    for (let isFirst = true; ; isFirst = false) {
      const address = await discovery.find(connectTimeout, signal)
      try {
        await this.#open(address, discovery.isFixed === true, end - performance.now())
        return
      } catch (error) {
        // The server may have moved to another socket since discovery. EAGAIN: the server's listen backlog is full.
        const { isFinal, detail } = discovery.judge?.(error as Error) ??
          { isFinal: !isFirst && (error as NodeJS.ErrnoException).code !== 'EAGAIN', detail: detailOf(error as Error) }
        if (isFinal || signal.aborted || performance.now() + pause > end) {
          throw new StoreError('STORE_UNREACHABLE', detail, { cause: error })
        }
        await delay(pause, undefined, { signal }).catch(() => {})
        pause = Math.min(pause * 2, MAX_RETRY_MS)
      }
    }
  }

  /** Gives up the search for the store. */
  abort (): void {
    this.#abort.abort()
  }

  #open ({ path, token }: Address, awaitsGreeting: boolean, timeout: number): Promise<void> {
    return new Promise((resolve, reject) => {
      let connection: Connection
      let isOpen = false
      const socket = connectTo(path, () => connection)
      const limit = new Timer()
      const open = (): void => {
        limit.stop()
        isOpen = true
        this.#handler.opened(connection)
        resolve()
      }
      const fail = (error: NodeJS.ErrnoException | undefined): void => {
        limit.stop()
        if (error?.code === 'EACCES') {
          error.message += `: the socket belongs to another user, this process runs as uid ${process.geteuid?.()}`
        }
        reject(error ?? new Error('the server closed the connection without a reply'))
      }
      const seconds = this.#settings.connectTimeout / 1000
      limit.start(Math.max(timeout, 1), () => { socket.destroy(new Error(`no reply within ${seconds} s`)) })
      socket.once('error', fail)
      socket.once('connect', () => {
        connection = new Connection(socket, {
          batch: () => { this.#handler.batch() },
          frame: (buffer, at, end) => {
            if (!isOpen) {
              checkGreeting(buffer, at, end)
              open()
            }
            this.#handler.frame(buffer, at, end)
          },
          closed: error => {
            if (isOpen) this.#handler.closed(connection, error)
            else fail(error)
          }
        })
        writeHello(connection, token, this.#settings.label)
        if (!awaitsGreeting) open()
      })
    })
  }
}

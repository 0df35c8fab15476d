// One end of a connection: cuts what comes in into frames, and gathers what goes out, to be written at once.
import type { Socket } from 'node:net'
import { StoreError } from '../../core/errors.js'
import { MAX_FRAME, type ReplyTarget } from './protocol.js'

const BUFFER = 64 * 1024
/** Bytes that may wait to be taken by the other side before it counts as slow. */
const HIGH_WATER = 4 * 2 ** 20
/** Bytes of a buffer for frames in parts that is kept for the next. */
const MAX_KEPT = 2 ** 20
const EMPTY = Buffer.alloc(0)

export interface Handler {
  /** One or more frames are about to come. */
  batch? (): void
  /** A frame, from behind its size to `end`. What it throws is the connection's end. */
  frame (buffer: Buffer, at: number, end: number): void
  /** The connection has ended, for the reason given or because the other side is gone. Called once. */
  closed (error: Error | undefined): void
}

export class Connection implements ReplyTarget {
  buffer = Buffer.allocUnsafeSlow(BUFFER)
  used = 0
  /** Frames larger than this end the connection. */
  maxFrame = MAX_FRAME
  /**
   * Milliseconds that the other side, when it is slow, may take nothing at all before the connection ends; until it
   * has caught up it is not listened to. 0: it may take its time, and is listened to all the while. Only one of two
   * sides may have such a limit, or they could wait for each other.
   */
  slowTimeoutMs = 0
  /**
   * True: what is written waits for the rest of this turn of the event loop, so that calls for which separate sockets
   * gave reason go in one write. False: for the rest of the tick.
   */
  gathers = false
  /** With `slowTimeoutMs`: whether more than a little waits for the other side. */
  isSlow = false
  readonly #socket: Socket
  readonly #handler: Handler
  /** What is before this in the buffer has been handed to the socket. */
  #written = 0
  #flushing = false
  #paused = false
  // What came of a frame that is not complete yet, and the size it is complete at.
  #waiting = EMPTY
  #filled = 0
  #needed = 0

  constructor (socket: Socket, handler: Handler) {
    this.#socket = socket
    this.#handler = handler
    let error: Error | undefined
    socket.on('data', bytes => { this.receive(bytes) })
    socket.on('drain', () => { this.#resume() })
    socket.on('timeout', () => { this.destroy(new StoreError('STORE_DISCONNECTED', 'the other side does not read')) })
    socket.on('error', reason => { error = reason })
    socket.on('close', () => {
      this.#waiting = EMPTY
      handler.closed(error)
    })
  }

  /** Bytes that the other side has not taken yet. */
  get backlog (): number {
    return this.used - this.#written + this.#socket.writableLength
  }

  /** Makes room for `size` more bytes in `buffer`. */
  reserve (size: number): void {
    if (this.used + size > this.buffer.length) {
      this.flush()
      if (this.used + size > this.buffer.length) this.#renew(Math.max(size, BUFFER))
    }
    if (!this.#flushing) {
      this.#flushing = true
      const flush = (): void => {
        this.#flushing = false
        this.flush()
      }
      if (this.gathers) setImmediate(flush)
      else process.nextTick(flush)
    }
  }

  commit (size: number): void {
    this.used += size
  }

  /** Writes bytes that stay as they are, behind what has gathered. */
  append (bytes: Buffer): void {
    this.#socket.cork()
    this.flush()
    this.#write(bytes)
    this.#socket.uncork()
  }

  /** Writes what has gathered. */
  flush (): void {
    if (this.used === this.#written) return
    const chunk = this.buffer.subarray(this.#written, this.used)
    this.#written = this.used
    this.#write(chunk)
    // Usually the kernel has taken all of it by now and the buffer is free again. If not, the next bytes go behind
    // these: many small writes to somebody who does not read must not take a buffer each.
    if (this.buffer.length > BUFFER) this.#renew(BUFFER)
    else if (this.#socket.writableLength === 0) this.used = this.#written = 0
  }

  /** Ends the connection; resolves when it has gone, with whether the other side has read all that was written. */
  async end (): Promise<boolean> {
    this.flush()
    return await new Promise(resolve => {
      // The other side ends when it has read our end, which is behind all else.
      let isRead = false
      this.#socket.once('end', () => { isRead = this.#socket.writableFinished })
      this.#socket.once('close', () => { resolve(isRead) })
      this.#socket.end()
      this.#socket.ref()
    })
  }

  destroy (error?: Error): void {
    this.#socket.destroy(error)
  }

  ref (): void {
    this.#socket.ref()
  }

  unref (): void {
    this.#socket.unref()
  }

  /**
   * Bytes have come, which are the sender's to use again when this returns. The connection calls it itself for a
   * socket that has 'data'.
   */
  receive (bytes: Buffer): void {
    if (this.#filled > 0) {
      bytes = this.#gather(bytes)
      if (this.#filled < this.#needed) return
      this.#filled = 0
    }
    let at = 0
    this.#needed = 4
    this.#handler.batch?.()
    try {
      while (bytes.length - at >= 4) {
        const size = bytes.readUInt32LE(at)
        if (size < 8 || size > this.maxFrame) throw new StoreError('STORE_PROTOCOL', `a frame of ${size} bytes`)
        this.#needed = size + 4
        if (bytes.length - at < this.#needed || this.#isFull()) break
        this.#handler.frame(bytes, at + 4, at + this.#needed)
        if (this.#socket.destroyed) return
        at += this.#needed
        this.#needed = 4
      }
    } catch (error) {
      this.destroy(error as Error)
      return
    }
    if (at < bytes.length) this.#gather(bytes.subarray(at))
    else if (this.#waiting.length > MAX_KEPT) this.#waiting = EMPTY
  }

  /** Copies bytes behind those that wait for the rest of their frame; gives all of them. */
  #gather (bytes: Buffer): Buffer {
    const filled = this.#filled + bytes.length
    if (filled > this.#waiting.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(filled, this.#needed) + BUFFER)
      this.#waiting.copy(larger, 0, 0, this.#filled)
      this.#waiting = larger
    }
    bytes.copy(this.#waiting, this.#filled)
    this.#filled = filled
    return this.#waiting.subarray(0, filled)
  }

  /** Whether the other side is to be left alone until it has taken what it was sent. */
  #isFull (): boolean {
    if (!this.isSlow) return false
    this.#paused = true
    this.#socket.pause()
    return true
  }

  #resume (): void {
    if (!this.isSlow) return
    this.isSlow = false
    this.#socket.setTimeout(0)
    if (!this.#paused) return
    this.#paused = false
    this.#socket.resume()
    this.receive(EMPTY)
  }

  #write (bytes: Buffer): void {
    if (!this.#socket.destroyed) this.#socket.write(bytes)
    if (this.#socket.writableLength < HIGH_WATER || this.slowTimeoutMs === 0 || this.isSlow) return
    this.isSlow = true
    this.#socket.setTimeout(this.slowTimeoutMs)
  }

  #renew (size: number): void {
    this.buffer = Buffer.allocUnsafeSlow(size)
    this.used = this.#written = 0
  }
}

// One end of a connection: cuts what comes in into frames, and gathers what goes out, to be written once a tick.
import type { Socket } from 'node:net'
import { StoreError } from '../errors.js'
import { MAX_FRAME, type Target } from './protocol.js'

const BUFFER = 64 * 1024
/** Bytes that may wait to be taken by the other side before its own requests are no longer read. */
const HIGH_WATER = 4 * 2 ** 20

export interface Handler {
  /** One or more frames are about to come. */
  batch? (): void
  /** A frame, from behind its size to `end`. What it throws is the connection's end. */
  frame (buffer: Buffer, at: number, end: number): void
  /** The connection has ended, for the reason given or because the other side is gone. Called once. */
  closed (error: Error | undefined): void
}

export class Connection implements Target {
  buffer = Buffer.allocUnsafeSlow(BUFFER)
  used = 0
  /** Frames larger than this end the connection. */
  maxFrame = MAX_FRAME
  readonly #socket: Socket
  readonly #handler: Handler
  #flushing = false
  #paused = false
  // What came of a frame that is not complete yet, and the size it is complete at.
  #parts: Buffer[] = []
  #partial = 0
  #needed = 0

  constructor (socket: Socket, handler: Handler) {
    this.#socket = socket
    this.#handler = handler
    let error: Error | undefined
    socket.on('data', chunk => { this.#receive(chunk) })
    socket.on('drain', () => { this.#resume() })
    socket.on('error', reason => { error = reason })
    socket.on('close', () => {
      this.#parts = []
      handler.closed(error)
    })
  }

  /** Bytes that the other side has not taken yet. */
  get backlog (): number {
    return this.used + this.#socket.writableLength
  }

  /** Makes room for `size` more bytes in `buffer`. */
  reserve (size: number): void {
    if (this.used + size > this.buffer.length) {
      this.flush()
      if (size > this.buffer.length) this.buffer = Buffer.allocUnsafeSlow(size)
    }
    if (!this.#flushing) {
      this.#flushing = true
      process.nextTick(() => {
        this.#flushing = false
        this.flush()
      })
    }
  }

  commit (size: number): void {
    this.used += size
  }

  /** Writes what has gathered. */
  flush (): void {
    if (this.used === 0) return
    const size = this.used
    this.used = 0
    if (this.#socket.destroyed) return
    this.#socket.write(this.buffer.subarray(0, size))
    // Usually the kernel has taken all of it by now and the buffer is free again.
    if (this.#socket.writableLength > 0 || this.buffer.length > BUFFER) this.buffer = Buffer.allocUnsafeSlow(BUFFER)
  }

  /** Ends the connection; resolves when the system has taken all that was written, or the connection is gone. */
  async end (): Promise<void> {
    this.flush()
    await new Promise<void>(resolve => {
      this.#socket.once('close', resolve)
      this.#socket.end(resolve)
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

  #receive (chunk: Buffer): void {
    if (this.#partial > 0) {
      this.#parts.push(chunk)
      this.#partial += chunk.length
      if (this.#partial < this.#needed) return
      chunk = Buffer.concat(this.#parts, this.#partial)
      this.#parts = []
      this.#partial = 0
    }
    let at = 0
    this.#needed = 4
    this.#handler.batch?.()
    try {
      while (chunk.length - at >= 4) {
        const size = chunk.readUInt32LE(at)
        if (size < 8 || size > this.maxFrame) throw new StoreError('STORE_PROTOCOL', `a frame of ${size} bytes`)
        this.#needed = size + 4
        if (chunk.length - at < this.#needed || this.#isFull()) break
        this.#handler.frame(chunk, at + 4, at + this.#needed)
        if (this.#socket.destroyed) return
        at += this.#needed
        this.#needed = 4
      }
    } catch (error) {
      this.destroy(error as Error)
      return
    }
    if (at === chunk.length) return
    // A copy of the rest of a large chunk would cost more than keeping the chunk for a moment.
    this.#parts.push(chunk.subarray(at))
    this.#partial = chunk.length - at
  }

  /** Whether the other side is to be left alone until it has taken more of what it was sent. */
  #isFull (): boolean {
    if (this.#socket.writableLength < HIGH_WATER) return false
    this.#paused = true
    this.#socket.pause()
    return true
  }

  #resume (): void {
    if (!this.#paused) return
    this.#paused = false
    this.#socket.resume()
    this.#receive(Buffer.alloc(0))
  }
}

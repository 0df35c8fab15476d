// One end of a connection: reads frames, and batches output into one write.
import type { Socket } from 'node:net'
import { largeBuffers } from '../../core/buffer-pool.js'
import { StoreError } from '../../core/errors.js'
import { FrameReader, type FrameHandler } from './frame-reader.js'
import type { ReplyTarget } from './protocol.js'

const BUFFER = 64 * 1024
/** A peer with more unread bytes than this counts as slow. */
const HIGH_WATER = 4 * 2 ** 20
const EMPTY = Buffer.alloc(0)

export interface Handler extends FrameHandler {
  /** Called before the frames of a read. */
  batch? (): void
  /** Called once when the connection has ended, with the error if there is one. */
  closed (error: Error | undefined): void
}

export class Connection implements ReplyTarget {
  buffer: Buffer = Buffer.allocUnsafeSlow(BUFFER)
  used = 0
  /**
   * Milliseconds a slow peer may read nothing before the connection ends. Until then, nothing is read from it. 0: no
   * limit, and reading continues. Only one of the two sides may set a limit, otherwise both could wait for each other.
   */
  slowTimeoutMs = 0
  /**
   * True: output is flushed in the next setImmediate, so that calls triggered by different sockets share a write.
   * False: in the next tick.
   */
  gathers = false
  /** With `slowTimeoutMs`: whether the peer has more than HIGH_WATER bytes to read. */
  isSlow = false
  readonly #socket: Socket
  readonly #handler: Handler
  /** Bytes of `buffer` already passed to the socket. */
  #written = 0
  /** What `buffer` and `used` were before a long frame, which has a buffer of its own. */
  #shared: { buffer: Buffer, used: number } | undefined
  #flushing = false
  #paused = false
  readonly #reader: FrameReader

  constructor (socket: Socket, handler: Handler) {
    this.#socket = socket
    this.#handler = handler
    this.#reader = new FrameReader(handler, () => !socket.destroyed && !this.#isFull())
    let error: Error | undefined
    socket.on('data', bytes => { this.receive(bytes) })
    socket.on('drain', () => { this.#resume() })
    socket.on('timeout', () => { this.destroy(new StoreError('STORE_DISCONNECTED', 'the peer stopped reading')) })
    socket.on('error', reason => { error = reason })
    socket.on('close', () => {
      this.#reader.clear()
      handler.closed(error)
    })
  }

  /** Larger frames end the connection. */
  limitFrames (bytes: number): void {
    this.#reader.maxFrame = bytes
  }

  /** Bytes that the peer has not read yet. */
  get backlog (): number {
    return this.used - this.#written + this.#socket.writableLength
  }

  /** Makes room for `size` more bytes in `buffer`, and schedules a flush. */
  reserve (size: number): void {
    if (this.used + size > this.buffer.length) {
      this.#flush(size <= BUFFER)
      if (size > BUFFER) {
        if (this.#shared !== undefined) largeBuffers.free(this.buffer) // nothing was written to it
        this.#shared ??= { buffer: this.buffer, used: this.used }
        this.#use(largeBuffers.take(size), 0)
      } else if (this.used + size > this.buffer.length) this.#use(largeBuffers.take(BUFFER), 0)
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

  /** Writes `bytes` without copying them, after the buffered output. */
  append (bytes: Buffer): void {
    this.#socket.cork()
    this.flush()
    this.#write(bytes, error => { if (error == null) largeBuffers.giveBack(bytes) })
    this.#socket.uncork()
  }

  /** Writes the buffered output. */
  flush (): void {
    this.#flush(false)
  }

  /** `isFull`: the buffer is replaced, unless it can be reused at once. */
  #flush (isFull: boolean): void {
    if (this.used === this.#written) return
    const chunk = this.buffer.subarray(this.#written, this.used)
    this.#written = this.used
    if (this.#shared !== undefined) this.#writeLong(chunk, this.#shared)
    else if (isFull) this.#writeLast(chunk)
    else this.#write(chunk)
    // Usually the kernel has taken everything by now and the buffer can be reused. Otherwise the next bytes are added
    // after these: many small writes to a peer that does not read must not allocate a buffer each.
    if (this.#socket.writableLength === 0) this.used = this.#written = 0
  }

  /** Ends the connection. Resolves once it is closed, with whether the peer has read everything. */
  async end (): Promise<boolean> {
    this.flush()
    return await new Promise(resolve => {
      // The peer ends its side after reading our FIN, which follows all data.
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

  /** Where to receive the next bytes; undefined: anywhere. */
  get target (): Buffer | undefined {
    return this.#reader.target
  }

  /**
   * Handles incoming bytes, of `target` or others. The caller may reuse others when this returns. Called internally
   * for a socket that emits 'data'.
   */
  receive (bytes: Buffer): void {
    this.#handler.batch?.()
    try {
      this.#reader.receive(bytes)
    } catch (error) {
      this.destroy(error as Error)
    }
  }

  /** Stops reading from a slow peer until it has caught up. */
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

  #writeLong (frame: Buffer, { buffer, used }: { buffer: Buffer, used: number }): void {
    if (this.#writeLast(frame)) largeBuffers.free(frame)
    this.#shared = undefined
    this.#use(buffer, used)
  }

  /** Writes the last bytes of a buffer. True if it is unused now; otherwise it is freed when they are written. */
  #writeLast (bytes: Buffer): boolean {
    let isUnused = false
    this.#write(bytes, error => { if (error == null && !isUnused) largeBuffers.free(bytes) })
    isUnused = this.#socket.writableLength === 0
    return isUnused
  }

  #write (bytes: Buffer, onwritten?: (error?: Error | null) => void): void {
    if (!this.#socket.destroyed) this.#socket.write(bytes, onwritten)
    if (this.#socket.writableLength < HIGH_WATER || this.slowTimeoutMs === 0 || this.isSlow) return
    this.isSlow = true
    this.#socket.setTimeout(this.slowTimeoutMs)
  }

  #use (buffer: Buffer, used: number): void {
    this.buffer = buffer
    this.used = this.#written = used
  }
}

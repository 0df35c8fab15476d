// Splits what a socket receives into frames. Frames that arrive whole are handled where they are. The parts of others
// are put together in a buffer; a long frame has one of its own, into which the socket reads directly.
import { largeBuffers } from '../../core/buffer-pool.js'
import { StoreError } from '../../core/errors.js'
import { MAX_FRAME } from './protocol.js'

/** Bytes of one read. Longer frames are long. */
export const READ = 64 * 1024
/**
 * A frame up to this size gets its whole buffer as soon as its size is known; one that is longer at most twice what has
 * arrived of it, whatever size it claims. A buffer up to this size is kept for the next frame.
 */
const EAGER = 2 ** 21
/** Bytes received together with a long frame, so that the size of the next one is known without a read for it. */
const TAIL = 16
const MIN_FRAME = 8
const SIZE_FIELD = 4
const EMPTY = Buffer.alloc(0)

export interface FrameHandler {
  /**
   * Called with a frame, from the end of its size field to `end`. The bytes may be reused when it returns, unless
   * `isOwned` and it returns true: then `buffer` has nothing but this frame, and belongs to the handler from now on.
   * If it throws, the connection ends.
   */
  frame (buffer: Buffer, at: number, end: number, isOwned: boolean): boolean | void
}

export class FrameReader {
  /** Larger frames are refused. */
  maxFrame = MAX_FRAME
  readonly #handler: FrameHandler
  readonly #isReady: () => boolean
  // The received part of a frame, and the size that it needs to be one: with size field.
  #part = EMPTY
  #filled = 0
  #needed = SIZE_FIELD
  /** Received while the handler was not ready, after the frame in `#part`. */
  #held = EMPTY

  /** While `isReady` returns false, no frame is handled. */
  constructor (handler: FrameHandler, isReady: () => boolean) {
    this.#handler = handler
    this.#isReady = isReady
  }

  /** Where the next bytes should be received: the rest of a long frame and TAIL. Undefined: anywhere. */
  get target (): Buffer | undefined {
    if (this.#needed <= READ || this.#filled === this.#needed) return undefined
    this.#makeRoom()
    return this.#part.subarray(this.#filled, this.#needed + TAIL)
  }

  /** Handles the frames in what was received, in `target` or elsewhere. STORE_PROTOCOL. */
  receive (bytes: Buffer): void {
    if (this.#held.length > 0) {
      bytes = Buffer.concat([this.#held, bytes])
      this.#held = EMPTY
    }
    let at = 0
    for (;;) {
      if (this.#filled === 0) at = this.#handleWhole(bytes, at)
      at += this.#gather(bytes, at)
      if (this.#filled === this.#needed) {
        if (!this.#isReady()) break
        if (bytes.buffer === this.#part.buffer) { // what follows the frame may be overwritten once it is handled
          bytes = Buffer.from(bytes.subarray(at))
          at = 0
        }
        this.#handlePart()
      } else if (at === bytes.length) return
    }
    if (at < bytes.length) this.#held = Buffer.from(bytes.subarray(at))
  }

  /** Forgets what was received. */
  clear (): void {
    this.#part = this.#held = EMPTY
    this.#filled = 0
    this.#needed = SIZE_FIELD
  }

  /** Handles frames until one is not complete, and returns where it begins. */
  #handleWhole (bytes: Buffer, at: number): number {
    while (bytes.length - at >= SIZE_FIELD) {
      const end = at + SIZE_FIELD + this.#sizeOf(bytes, at)
      if (end > bytes.length || !this.#isReady()) break
      this.#handler.frame(bytes, at + SIZE_FIELD, end, false)
      at = end
    }
    return at
  }

  /** Adds bytes to the part, as many as it needs and has room for. Returns their number. */
  #gather (bytes: Buffer, at: number): number {
    let count = bytes.length - at
    if (count === 0) return 0
    if (this.#filled === 0 && count >= SIZE_FIELD) this.#needed += this.#sizeOf(bytes, at)
    count = Math.min(count, this.#needed - this.#filled)
    if (bytes.buffer !== this.#part.buffer) { // else they have been received in `target`
      this.#makeRoom()
      count = bytes.copy(this.#part, this.#filled, at, at + count)
    }
    this.#filled += count
    if (this.#needed === SIZE_FIELD && this.#filled === SIZE_FIELD) this.#needed += this.#sizeOf(this.#part, 0)
    return count
  }

  #makeRoom (): void {
    const { length } = this.#part
    const needed = Math.max(this.#needed + TAIL, READ)
    if (length < Math.min(needed, EAGER)) this.#resize(Math.min(needed, EAGER))
    else if (length === this.#filled && length < needed) this.#resize(Math.min(needed, 2 * length))
  }

  #resize (size: number): void {
    const larger = largeBuffers.take(size)
    this.#part.copy(larger, 0, 0, this.#filled)
    largeBuffers.free(this.#part)
    this.#part = larger
  }

  #handlePart (): void {
    const part = this.#part
    const needed = this.#needed
    this.#filled = 0
    this.#needed = SIZE_FIELD
    const isOwned = part.length <= needed + TAIL
    const isTaken = this.#handler.frame(isOwned ? part.subarray(0, needed) : part, SIZE_FIELD, needed, isOwned) === true
    if (isTaken || part.length > EAGER) this.#part = EMPTY
  }

  #sizeOf (bytes: Buffer, at: number): number {
    const size = bytes.readUInt32LE(at)
    if (size >= MIN_FRAME && size <= this.maxFrame) return size
    throw new StoreError('STORE_PROTOCOL', `invalid frame size: ${size} bytes`)
  }
}

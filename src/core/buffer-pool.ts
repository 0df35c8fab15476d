// Reuses the memory of large values and frames. Memory from the allocator costs several times more than copying bytes
// into it: the kernel clears its pages, and V8 collects all garbage whenever enough of it has been allocated.

/** Maximum number and total size of the buffers that wait to be reused. */
const MAX_FREE = 64
const MAX_FREE_BYTES = 4 * 2 ** 20
/** Larger buffers are not reused. */
const MAX_SIZE = 2 ** 21
/** A buffer is reused for sizes from this share of its own. */
const MIN_USED = 7 / 8

class State {
  loans = 0
  isFree = false
}

/**
 * Buffers passed to `free` are reused when no loans are left. Whoever keeps a reference to a buffer that others may
 * free must `lend` it first. A loan that is never given back only leaves the buffer to the garbage collector.
 */
export class BufferPool {
  readonly #known = new WeakMap<ArrayBufferLike, State>()
  readonly #free: ArrayBuffer[] = []
  #freeBytes = 0

  /** A buffer with arbitrary content. */
  take (size: number): Buffer<ArrayBuffer> {
    const i = this.#free.findLastIndex(({ byteLength }) => size <= byteLength && size >= byteLength * MIN_USED)
    if (i === -1) {
      const buffer = Buffer.allocUnsafeSlow(size)
      this.#known.set(buffer.buffer, new State())
      return buffer
    }
    const [memory] = this.#free.splice(i, 1)
    this.#freeBytes -= memory!.byteLength
    this.#known.get(memory!)!.isFree = false
    return Buffer.from(memory!, 0, size)
  }

  lend ({ buffer }: Buffer): void {
    const state = this.#known.get(buffer)
    if (state !== undefined) state.loans++
  }

  giveBack ({ buffer }: Buffer): void {
    const state = this.#known.get(buffer)
    if (state === undefined || state.loans === 0) return
    state.loans--
    if (state.isFree && state.loans === 0) this.#keep(buffer as ArrayBuffer)
  }

  /** Buffers that are not from `take` are ignored. */
  free ({ buffer }: Buffer): void {
    const state = this.#known.get(buffer)
    if (state === undefined || state.isFree) return
    state.isFree = true
    if (state.loans === 0) this.#keep(buffer as ArrayBuffer)
  }

  #keep (memory: ArrayBuffer): void {
    if (memory.byteLength > MAX_SIZE) return
    this.#free.push(memory)
    this.#freeBytes += memory.byteLength
    while (this.#freeBytes > MAX_FREE_BYTES || this.#free.length > MAX_FREE) {
      this.#freeBytes -= this.#free.shift()!.byteLength
    }
  }
}

/** The pool of this process. */
export const largeBuffers = new BufferPool()

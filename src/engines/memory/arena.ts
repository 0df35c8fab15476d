// Memory in blocks of any size, outside the JavaScript heap: the garbage collector neither visits nor moves it. Blocks
// are appended to segments. A segment without blocks in use is released; if too much space is wasted, the emptiest
// segment is emptied by moving its blocks (log-structured memory: Rumble et al., 2014).
import type { FastBuffer } from '../../core/fast-buffer.js'

/** The size of a segment is a quarter of what is used, within these bounds. */
const MIN_SEGMENT = 2 ** 13
const MAX_SEGMENT = 2 ** 20
/** Blocks begin at multiples of 2 ** UNIT_BITS bytes. */
const UNIT_BITS = 3
/** An address is the number of a segment and, in the low bits, that of a unit in it. */
const OFFSET_BITS = 20 - UNIT_BITS
const OFFSET_MASK = 2 ** OFFSET_BITS - 1
const MAX_SEGMENTS = 2 ** (32 - OFFSET_BITS)
/** The part of the used space that may be wasted. */
const MAX_WASTE = 0.2
/** Where the first block of a segment begins: no block has the address 0. */
export const START = 2 ** UNIT_BITS
/** The owner of a free block. */
export const NOBODY = -1

// The words that each block begins with.
export const OWNER = 0
/** In bytes, rounded up to units. */
export const SIZE = 1
/** The number of these words. */
export const HEADER_WORDS = 2

export class Segment {
  readonly memory: ArrayBuffer
  readonly bytes: FastBuffer
  readonly words: Int32Array
  /** Where the next block begins. */
  end = START
  /** Total size of the blocks in use. */
  live = 0

  constructor (size: number) {
    const bytes = Buffer.allocUnsafeSlow(size)
    this.memory = bytes.buffer
    this.bytes = bytes as unknown as FastBuffer
    this.words = new Int32Array(this.memory)
  }
}

export class Arena {
  readonly #segments: Array<Segment | undefined> = []
  /** Numbers of released segments. */
  readonly #released: number[] = []
  /** The segment to which blocks are appended. */
  #current = -1
  /** The segment that is being emptied, and the position reached in it. */
  #emptied = -1
  #position = 0
  /** Total size of all blocks, and of those in use. */
  #used = 0
  #live = 0

  segment (address: number): Segment {
    return this.#segments[address >>> OFFSET_BITS]!
  }

  /** All segments. */
  segments (): Segment[] {
    return this.#segments.filter(segment => segment !== undefined)
  }

  /** The index of the first word of a block in its segment. */
  static wordAt (address: number): number {
    return (address & OFFSET_MASK) << UNIT_BITS - 2
  }

  /** The size of the block for that many bytes. */
  static sizeFor (bytes: number): number {
    return bytes + 2 ** UNIT_BITS - 1 & -(2 ** UNIT_BITS)
  }

  get isWasteful (): boolean {
    return this.#used - this.#live > MIN_SEGMENT + this.#used * MAX_WASTE
  }

  /** Makes room for a block. False if there is no memory for it. */
  reserve (size: number): boolean {
    try {
      this.#withRoom(size)
      return true
    } catch {
      return false
    }
  }

  /** Returns the address of a new block. `owner`: not negative. `size`: see `sizeFor`. Throws if there is no memory. */
  allocate (owner: number, size: number): number {
    const segment = this.#withRoom(size)
    const word = segment.end >>> 2
    segment.words[word + OWNER] = owner
    segment.words[word + SIZE] = size
    segment.end += size
    segment.live += size
    this.#used += size
    this.#live += size
    return addressOf(this.#current, word)
  }

  free (address: number): void {
    const number = address >>> OFFSET_BITS
    const segment = this.#segments[number]!
    const word = Arena.wordAt(address)
    const size = segment.words[word + SIZE]!
    segment.words[word + OWNER] = NOBODY
    segment.live -= size
    this.#live -= size
    if (segment.live === 0 && number !== this.#current) this.#release(number)
    const current = this.#segments[this.#current]
    if (current?.live !== 0) return
    if (this.#live === 0 && current.bytes.length > MIN_SEGMENT) this.#release(this.#current)
    else this.#empty(current)
  }

  /**
   * The address of a block of the emptiest segment, which the caller has to move; undefined if the one looked at is not
   * in use. Only while the arena is wasteful.
   */
  nextWasteful (): number | undefined {
    if (this.#emptied === -1) {
      this.#emptied = this.#emptiest()
      this.#position = START
      if (this.#emptied === this.#current) this.#current = -1
    }
    const segment = this.#segments[this.#emptied]!
    if (segment.live === 0) {
      this.#release(this.#emptied)
      return undefined
    }
    const word = this.#position >>> 2
    const address = addressOf(this.#emptied, word)
    this.#position += segment.words[word + SIZE]!
    if (this.#position === segment.end) this.#emptied = -1
    return segment.words[word + OWNER] === NOBODY ? undefined : address
  }

  /** The current segment. */
  #withRoom (size: number): Segment {
    const segment = this.#segments[this.#current]
    return segment === undefined || segment.end + size > segment.bytes.length ? this.#add(size) : segment
  }

  /** Adds a segment and makes it the current one. */
  #add (size: number): Segment {
    if (this.#released.length === 0 && this.#segments.length === MAX_SEGMENTS) throw new RangeError('too many values')
    const usual = Arena.sizeFor(Math.min(MAX_SEGMENT, this.#used / 4))
    const segment = new Segment(Math.max(START + size, MIN_SEGMENT, usual))
    const number = this.#released.pop() ?? this.#segments.length
    this.#segments[number] = segment
    if (this.#segments[this.#current]?.live === 0) this.#release(this.#current) // it was too small for the block
    this.#current = number
    return segment
  }

  #release (number: number): void {
    this.#empty(this.#segments[number]!)
    this.#segments[number] = undefined
    this.#released.push(number)
    if (number === this.#emptied) this.#emptied = -1
    if (number === this.#current) this.#current = -1
  }

  /** Forgets the free blocks. */
  #empty (segment: Segment): void {
    this.#used -= segment.end - START
    segment.end = START
  }

  /** The segment of which the smallest part is in use. */
  #emptiest (): number {
    let found = -1
    let least = Infinity
    for (const [number, segment] of this.#segments.entries()) {
      if (segment === undefined || segment.live / segment.end >= least) continue
      found = number
      least = segment.live / segment.end
    }
    return found
  }
}

function addressOf (segment: number, word: number): number {
  return segment << OFFSET_BITS | word >>> UNIT_BITS - 2
}

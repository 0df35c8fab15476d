// A key with its value.
import type { Bytes } from '../../core/value.js'

export const FREE = 0
/** The key is locked: the entry neither expires nor is evicted. */
export const LOCKED = 1
/** Locked, and the ttl has ended: expires when the lock is released. */
export const ENDED = 2
export type EntryState = typeof FREE | typeof LOCKED | typeof ENDED

// V8 stores integers up to 2 ** 31 inline; a larger number in any field would cost every entry 16 bytes. Versions and
// times exceed that within hours or weeks, so they are split: the low bits have a field each, and a third field holds
// 18 high bits of the version, 10 of the time (70 years), 2 of the state, 1 of the class and 1 that tells of copies.
const LOW_BITS = 2 ** 31 - 1
const UNIT = 2 ** 31
const STATE_BITS = 3
const TIMED = 4
const COPIED = 8
const USED_SHIFT = 4
const VERSION_SHIFT = 14
const USED_BITS = 2 ** VERSION_SHIFT - 2 ** USED_SHIFT

export class Entry {
  // Neighbors in the list by last use, while unlocked.
  prev: Entry | undefined
  next: Entry | undefined
  #version = 0
  #used = 0
  #high: number

  constructor (readonly key: string, public text: Bytes, version: number, used: number, high = 0) {
    this.#high = high
    this.version = version
    this.used = used
  }

  isTimed (): this is TimedEntry {
    return (this.#high & TIMED) !== 0
  }

  /** The revision that wrote it. */
  get version (): number {
    const high = this.#high >>> VERSION_SHIFT
    return high === 0 ? this.#version : high * UNIT + this.#version
  }

  set version (version: number) {
    this.#version = version & LOW_BITS
    if (version > LOW_BITS || this.#high >>> VERSION_SHIFT !== 0) this.setHighVersion(version)
  }

  /** The clock reading of the last use. */
  get used (): number {
    return ((this.#high & USED_BITS) >>> USED_SHIFT) * UNIT + this.#used
  }

  set used (time: number) {
    this.#used = time & LOW_BITS
    if (time > LOW_BITS || (this.#high & USED_BITS) !== 0) this.setHighUsed(time)
  }

  // Separate functions, so that the compiler inlines the setters.

  private setHighVersion (version: number): void {
    this.#high = highOf(version) << VERSION_SHIFT | this.#high & 2 ** VERSION_SHIFT - 1
  }

  private setHighUsed (time: number): void {
    this.#high = highOf(time) << USED_SHIFT | this.#high & ~USED_BITS
  }

  get state (): EntryState {
    return (this.#high & STATE_BITS) as EntryState
  }

  set state (state: EntryState) {
    this.#high = this.#high & ~STATE_BITS | state
  }

  /** Whether clients may have copies of the value: see Copies. */
  get isCopied (): boolean {
    return (this.#high & COPIED) !== 0
  }

  set isCopied (isCopied: boolean) {
    this.#high = this.#high & ~COPIED | (isCopied ? COPIED : 0)
  }

  get bytes (): number {
    return this.key.length + this.text.length
  }
}

/** An entry with a ttl. */
export class TimedEntry extends Entry {
  /** Index in the collection's heap, which stores the end. */
  slot = -1

  constructor (key: string, text: Bytes, version: number, used: number) {
    super(key, text, version, used, TIMED)
  }
}

function highOf (number: number): number {
  return number < UNIT ? 0 : Math.floor(number / UNIT)
}

// A key with its value, in a block of an arena: as objects, a million entries would take almost half as much memory
// again, and the garbage collector would pause the process to move them. An Entry is a handle, valid until the current
// task ends. Lists, heaps and tables store its id, which is the address of the block; Owner.onmoved reports a new one.
import { BorrowedBytes, type Bytes, type OwnBytes } from '../../core/value.js'
import { Arena, HEADER_WORDS, OWNER, type Segment } from './arena.js'
import { wordsIn } from './hashed-key.js'

export const FREE = 0
/** The key is locked: the entry neither expires nor is evicted. */
export const LOCKED = 1
/** Locked, and the ttl has ended: expires when the lock is released. */
export const ENDED = 2
export type EntryState = typeof FREE | typeof LOCKED | typeof ENDED

// The words of a block after those of the arena.
/** The ids of the neighbors in the list by last use: see use-list.ts. */
export const PREV = HEADER_WORDS
export const NEXT = 3
/** Index in the heap of ends. */
const SLOT = 4
const VERSION = 5
const USED = 6
// Versions and times exceed 31 bits within hours or weeks. This word has 18 high bits of the version, 10 of the time
// (70 years), 2 of the state and two flags.
const HIGH = 7
/** The length of the key in the low 16 bits, above it that of the value in 13 bits and the snapshot in 3. */
export const LENGTHS = 8
/** The key, in whole words, and the value. */
export const KEY = 9

export const KEY_LENGTH = 0xffff
export const VALUE_SHIFT = 16
const VALUE_LENGTH = 0x1fff
const SNAPSHOT_SHIFT = 29
/** The highest number of a snapshot. */
export const MAX_SNAPSHOT = 7
/** Longer values are not in the block: whatever is read from a block is copied. */
export const MAX_INSIDE = 4096
/** Stands for the length of a value that is not in the block. */
export const OUTSIDE = MAX_INSIDE + 1

const LOW_BITS = 2 ** 31 - 1
const UNIT = 2 ** 31
const STATE_BITS = 3
const TIMED = 4
const COPIED = 8
const USED_SHIFT = 4
const VERSION_SHIFT = 14
const USED_BITS = 2 ** VERSION_SHIFT - 2 ** USED_SHIFT

/** Stores the values that are not in blocks, and changes values. */
export interface Values {
  outside (id: number): Buffer
  setText (entry: Entry, text: Bytes): void
}

export class Entry {
  /** The index of its first word in the segment. */
  at: number

  constructor (private readonly values: Values, public segment: Segment, public id: number) {
    this.at = Arena.wordAt(id)
  }

  moveTo (segment: Segment, id: number): void {
    this.segment = segment
    this.id = id
    this.at = Arena.wordAt(id)
  }

  get key (): string {
    const start = (this.at + KEY) * 4
    return this.segment.bytes.latin1Slice(start, start + this.keyLength)
  }

  /** The key where it is stored. */
  get borrowedKey (): Bytes {
    return new BorrowedBytes(this.segment, (this.at + KEY) * 4, this.keyLength)
  }

  get text (): OwnBytes {
    if (this.isOutside) return this.values.outside(this.id)
    const start = this.startOfText
    return this.segment.bytes.latin1Slice(start, start + this.lengthInside)
  }

  set text (text: Bytes) {
    this.values.setText(this, text)
  }

  /** The value where it is stored. */
  get borrowed (): Bytes {
    if (this.isOutside) return this.values.outside(this.id)
    return new BorrowedBytes(this.segment, this.startOfText, this.lengthInside)
  }

  /** The number of its collection in the pool. */
  get owner (): number {
    return this.word(OWNER)
  }

  set owner (owner: number) {
    this.setWord(OWNER, owner)
  }

  /** Size of the value in bytes. */
  get size (): number {
    return this.isOutside ? this.values.outside(this.id).length : this.lengthInside
  }

  /** Size of key and value in bytes. */
  get bytes (): number {
    return this.keyLength + this.size
  }

  get isOutside (): boolean {
    return this.lengthInside === OUTSIDE
  }

  get keyLength (): number {
    return this.word(LENGTHS) & KEY_LENGTH
  }

  /** Where the value begins in the segment, in bytes. */
  get startOfText (): number {
    return (this.at + KEY + wordsIn(this.keyLength)) * 4
  }

  /** The id of the next entry in the list by last use; 0 if it is the last one, or in no list. */
  get next (): number {
    return this.word(NEXT)
  }

  /** Index in the collection's heap, which stores the end; -1 if it is not in it. */
  get slot (): number {
    return this.word(SLOT)
  }

  set slot (slot: number) {
    this.setWord(SLOT, slot)
  }

  /** The revision that wrote it. */
  get version (): number {
    const high = this.word(HIGH) >>> VERSION_SHIFT
    return high === 0 ? this.word(VERSION) : high * UNIT + this.word(VERSION)
  }

  set version (version: number) {
    this.setWord(VERSION, version & LOW_BITS)
    this.setHigh(~(2 ** VERSION_SHIFT - 1), highOf(version) << VERSION_SHIFT)
  }

  /** The clock reading of the last use. */
  get used (): number {
    return ((this.word(HIGH) & USED_BITS) >>> USED_SHIFT) * UNIT + this.word(USED)
  }

  set used (time: number) {
    this.setWord(USED, time & LOW_BITS)
    this.setHigh(USED_BITS, highOf(time) << USED_SHIFT)
  }

  get state (): EntryState {
    return (this.word(HIGH) & STATE_BITS) as EntryState
  }

  set state (state: EntryState) {
    this.setHigh(STATE_BITS, state)
  }

  /** Whether it has a ttl. */
  get isTimed (): boolean {
    return (this.word(HIGH) & TIMED) !== 0
  }

  set isTimed (isTimed: boolean) {
    this.setHigh(TIMED, isTimed ? TIMED : 0)
  }

  /** Whether clients may have copies of the value: see Copies. */
  get isCopied (): boolean {
    return (this.word(HIGH) & COPIED) !== 0
  }

  set isCopied (isCopied: boolean) {
    this.setHigh(COPIED, isCopied ? COPIED : 0)
  }

  /** The number of the snapshot that has written it to the log; 0 if none has, since its value was set. */
  get snapshot (): number {
    return this.word(LENGTHS) >>> SNAPSHOT_SHIFT
  }

  set snapshot (snapshot: number) {
    this.setWord(LENGTHS, this.word(LENGTHS) & 2 ** SNAPSHOT_SHIFT - 1 | snapshot << SNAPSHOT_SHIFT)
  }

  word (word: number): number {
    return this.segment.words[this.at + word]!
  }

  setWord (word: number, value: number): void {
    this.segment.words[this.at + word] = value
  }

  /** The length of the value in the block, or OUTSIDE. */
  private get lengthInside (): number {
    return this.word(LENGTHS) >>> VALUE_SHIFT & VALUE_LENGTH
  }

  private setHigh (bits: number, value: number): void {
    this.setWord(HIGH, this.word(HIGH) & ~bits | value)
  }
}

function highOf (number: number): number {
  return number < UNIT ? 0 : Math.floor(number / UNIT)
}

// The entries of all collections of a keyspace. As a task, it frees discarded entries and reduces the space that is
// wasted in the arena.
import { largeBuffers } from '../../core/buffer-pool.js'
import { copyBytes, isBuffer, toBuffer, type Bytes } from '../../core/value.js'
import type { Agenda, Budget, Task } from './agenda.js'
import { Arena, HEADER_WORDS, OWNER, SIZE } from './arena.js'
import type { Bounds } from './bounds.js'
import type { Clock } from './clock.js'
import { Entry, KEY, KEY_LENGTH, LENGTHS, MAX_INSIDE, OUTSIDE, VALUE_SHIFT, type Values } from './entry.js'
import { bytesOf, wordsIn } from './hashed-key.js'
import type { Nodes } from './heap.js'
import type { Keys } from './keyed.js'

/** Number of discarded entries that are deleted for each new one, so that they cannot become more and more. */
const DELETED_PER_ENTRY = 2

/** While many keys are being removed, moving the others would be in vain. */
const COMPACTION_DELAY_MS = 100

/** A collection. */
export interface Owner {
  readonly name: string
  readonly bounds: Bounds
  /** The clock reading at the end of an entry's ttl; undefined without one. */
  endOf (entry: Entry): number | undefined
  /** Whether an entry that is still stored has been cleared, at the revision `until` or before. */
  isCleared (entry: Entry, until: number): boolean
  /** The entry of a key, even if it has expired, but not if it was cleared. */
  stored (key: string): Entry | undefined
  /** The id of one of its entries has changed. What has the former id can still be read. */
  onmoved (before: number, entry: Entry): void
}

/** Notified when entries are added, moved and deleted. */
export interface Tracker {
  onadded (entry: Entry): void
  onmoved (before: number, id: number): void
  ondeleted (id: number): void
}

/** The id of an entry is its address in the arena. */
export class EntryPool implements Values, Keys<number>, Nodes<number>, Task {
  slot = -1
  readonly isUrgent = false
  tracker: Tracker | undefined
  readonly arena = new Arena()
  readonly #owners: Array<Owner | undefined> = []
  /** The numbers of former owners. */
  readonly #unowned: number[] = []
  /** Values that are not in the arena. */
  readonly #outside = new Map<number, Buffer>()
  readonly #discarded: Array<{ readonly owner: number, readonly ids: Iterator<number> }> = []
  readonly #agenda: Agenda
  readonly #clock: Clock

  constructor (agenda: Agenda, clock: Clock) {
    this.#agenda = agenda
    this.#clock = clock
  }

  /** Returns the number of an owner. */
  addOwner (owner: Owner): number {
    const number = this.#unowned.pop() ?? this.#owners.length
    this.#owners[number] = owner
    return number
  }

  /** Its entries must have been deleted. */
  deleteOwner (number: number): void {
    this.#owners[number] = undefined
    this.#unowned.push(number)
  }

  /** The collection of an entry; undefined if it was discarded. */
  ownerOf (entry: Entry): Owner | undefined {
    return this.#owners[entry.owner]
  }

  /** Makes room for an entry, and returns its text as `add` and `setText` take it. Undefined if there is no memory. */
  hold (keyLength: number, text: Bytes): Bytes | undefined {
    try {
      const held = text.length > MAX_INSIDE ? toBuffer(text) : text
      return this.arena.reserve(sizeFor(keyLength, lengthInside(held))) ? held : undefined
    } catch {
      return undefined
    }
  }

  /** Creates an entry: unlocked, without a ttl, in no list. `text`: see `hold`. */
  add (owner: number, key: string, text: Bytes, version: number, used: number): Entry {
    for (let left = DELETED_PER_ENTRY; left > 0 && this.#deleteDiscarded(); left--);
    const entry = this.at(this.arena.allocate(owner, sizeFor(key.length, lengthInside(text))))
    for (let word = HEADER_WORDS; word < LENGTHS; word++) entry.setWord(word, 0)
    const bytes = bytesOf(key)
    for (let i = wordsIn(key.length) - 1; i >= 0; i--) entry.setWord(KEY + i, bytes[i]!)
    this.#write(entry, key.length, text)
    entry.version = version
    entry.used = used
    entry.slot = -1
    this.tracker?.onadded(entry)
    return entry
  }

  at (id: number): Entry {
    return new Entry(this, this.arena.segment(id), id)
  }

  delete (entry: Entry): void {
    this.tracker?.ondeleted(entry.id)
    this.#freeOutside(entry)
    this.arena.free(entry.id)
    this.#planCompaction()
  }

  /** Deletes an owner and its entries, which nothing else refers to, in slices. */
  discard (owner: number, ids: Iterator<number>): void {
    this.#owners[owner] = undefined
    this.#discarded.push({ owner, ids })
    this.#agenda.schedule(this, this.#clock.now)
  }

  /** A word of an entry: see entry.ts. */
  word (id: number, word: number): number {
    return this.arena.segment(id).words[Arena.wordAt(id) + word]!
  }

  setWord (id: number, word: number, value: number): void {
    this.arena.segment(id).words[Arena.wordAt(id) + word] = value
  }

  keyOf (id: number): string {
    return this.at(id).key
  }

  slots (length: number): Int32Array {
    return new Int32Array(length)
  }

  hasKey (id: number, key: string): boolean {
    const { words } = this.arena.segment(id)
    const at = Arena.wordAt(id)
    if ((words[at + LENGTHS]! & KEY_LENGTH) !== key.length) return false
    const bytes = bytesOf(key)
    for (let i = wordsIn(key.length) - 1; i >= 0; i--) {
      if (words[at + KEY + i] !== bytes[i]) return false
    }
    return true
  }

  outside (id: number): Buffer {
    return this.#outside.get(id)!
  }

  setText (entry: Entry, text: Bytes): void {
    const { keyLength } = entry
    const size = sizeFor(keyLength, lengthInside(text))
    if (size !== entry.word(SIZE)) {
      this.#move(entry, size, KEY + wordsIn(keyLength))
      this.#planCompaction()
    }
    this.#freeOutside(entry)
    this.#write(entry, keyLength, text)
  }

  run (budget: Budget): number | undefined {
    while (this.#deleteDiscarded()) {
      if (budget.isSpent()) return this.#clock.now
    }
    while (this.arena.isWasteful) {
      const id = this.arena.nextWasteful()
      if (id !== undefined) {
        const entry = this.at(id)
        const size = entry.word(SIZE)
        if (!this.arena.reserve(size)) return this.#clock.now + COMPACTION_DELAY_MS
        this.#move(entry, size, size / 4)
      }
      if (budget.isSpent()) return this.#clock.now
    }
    return undefined
  }

  /** Deletes one discarded entry. False if there is none. */
  #deleteDiscarded (): boolean {
    for (let last; (last = this.#discarded.at(-1)) !== undefined; this.#discarded.pop()) {
      const { done, value } = last.ids.next()
      if (done !== true) {
        this.delete(this.at(value))
        return true
      }
      this.deleteOwner(last.owner)
    }
    return false
  }

  #planCompaction (): void {
    if (this.arena.isWasteful) this.#agenda.schedule(this, this.#clock.now + COMPACTION_DELAY_MS)
  }

  /** Moves an entry to a new block, with that many of its words. */
  #move (entry: Entry, size: number, words: number): void {
    const { id: before, segment: { words: source }, at } = entry
    const owner = source[at + OWNER]!
    const id = this.arena.allocate(owner, size)
    entry.moveTo(this.arena.segment(id), id)
    for (let word = HEADER_WORDS; word < words; word++) entry.setWord(word, source[at + word]!)
    if (entry.isOutside) {
      this.#outside.set(id, this.#outside.get(before)!)
      this.#outside.delete(before)
    }
    this.#owners[owner]!.onmoved(before, entry)
    this.tracker?.onmoved(before, id)
    this.arena.free(before)
  }

  #write (entry: Entry, keyLength: number, text: Bytes): void {
    const isOutside = isBuffer(text)
    entry.setWord(LENGTHS, (isOutside ? OUTSIDE : text.length) << VALUE_SHIFT | keyLength)
    if (isOutside) this.#outside.set(entry.id, text)
    else copyBytes(text, entry.segment.bytes, entry.startOfText)
  }

  #freeOutside (entry: Entry): void {
    if (!entry.isOutside) return
    largeBuffers.free(this.outside(entry.id))
    this.#outside.delete(entry.id)
  }
}

/** The size of a block. */
function sizeFor (keyLength: number, valueLength: number): number {
  return Arena.sizeFor((KEY + wordsIn(keyLength)) * 4 + valueLength)
}

/** The length of the part of a value that is in the arena. */
function lengthInside (text: Bytes): number {
  return isBuffer(text) ? 0 : text.length
}

// Reads the lines of an export, and writes their keys in order, some hundred calls at a time.
import { setImmediate as nextTurn } from 'node:timers/promises'
import { untilAborted } from '../core/abort-signals.js'
import { Request, type Engine } from '../core/engine.js'
import { StoreError } from '../core/errors.js'
import { MIN_SECONDS } from '../core/validation.js'
import type { Collection } from './collection.js'
import { DEFAULT_OPTIONS, parseLine, type ExportLine } from './export-lines.js'
import { KNOWN, type CollectionOptions, type WaitOptions } from './options.js'
import { checkOptions, checkSignal } from './requests.js'

/** Text, or bytes of UTF-8, in pieces of any size: an export, a stream, or all at once. */
export type ImportSource = string | Uint8Array | AsyncIterable<string | Uint8Array> | Iterable<string | Uint8Array>

/** `timeout` applies to each locked key. */
export interface ImportOptions extends WaitOptions {
  /**
   * What happens to existing data. 'merge': keys and options are overwritten, others stay. 'replace': each collection
   * in the source is cleared before its first line, and has only the options of the source. 'absent': only keys that
   * have no value are written, and options of collections that do not exist. Default 'merge'.
   */
  mode?: 'merge' | 'replace' | 'absent' | undefined
}

export interface ImportResult {
  /** Number of keys written. */
  keys: number
  /** Number of keys not written: they had expired, or had a value and the mode was 'absent'. */
  skipped: number
}

/** The error of a line that an import could not read or write. */
export interface ImportFailure extends StoreError {
  /** The line number, starting at 1. */
  line: number
}

interface Line extends Omit<ExportLine, 'collection'> {
  number: number
  collection: Collection<string>
}

const OPTIONS = [...KNOWN.wait, 'mode']
const MODES = ['merge', 'replace', 'absent'] as const
/** Maximum number of lines in flight, and of characters of their values. */
const MAX_LINES = 500
const MAX_LENGTH = 2 ** 20
/** Maximum number of characters of a line without its value. */
const MAX_HEAD = 2 ** 16

export async function importLines (
  collection: (name: string) => Collection, engine: Engine, source: ImportSource, options: ImportOptions
): Promise<ImportResult> {
  checkOptions(options, OPTIONS)
  const { mode = 'merge', ...wait } = options
  if (!MODES.includes(mode)) {
    throw new StoreError(
      'STORE_OPTION_INVALID', `invalid mode: expected ${MODES.join(', ')}, got ${JSON.stringify(mode)}`
    )
  }
  const ping = new Request('ping', '', '')
  if (wait.signal !== undefined) ping.wait = { signal: checkSignal(wait.signal), timeout: undefined, scope: undefined }
  await engine.call(ping) // maxValueBytes is known once the store has replied
  return await new Import(collection, mode, wait, engine.maxValueBytes + MAX_HEAD).run(source)
}

class Import {
  readonly #collectionOf: (name: string) => Collection
  readonly #mode: typeof MODES[number]
  readonly #wait: WaitOptions
  readonly #maxLength: number
  readonly #result: ImportResult = { keys: 0, skipped: 0 }
  readonly #decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  #number = 0
  /** Lines to write next. */
  #lines: Line[] = []
  #length = 0
  #last: Collection<string> | undefined
  /** The clears of replaced collections. */
  readonly #replaced = new Map<string, Promise<unknown>>()
  /** Keys with a ttl that are being written, by collection and key. */
  #timed = new Map<string, Promise<void>>()

  constructor (
    collectionOf: (name: string) => Collection, mode: typeof MODES[number], wait: WaitOptions, maxLength: number
  ) {
    this.#collectionOf = collectionOf
    this.#mode = mode
    this.#wait = wait
    this.#maxLength = maxLength
  }

  async run (source: ImportSource): Promise<ImportResult> {
    try {
      await this.#readAll(source)
    } catch (error) {
      if (this.#wait.signal?.aborted !== true) await this.#write() // the lines before the invalid one
      throw error
    }
    await this.#write()
    return this.#result
  }

  async #readAll (source: ImportSource): Promise<void> {
    let rest = ''
    for await (const chunk of untilAborted(chunksOf(source), this.#wait.signal)) {
      const text = this.#decode(chunk)
      rest += text
      if (text.includes('\n')) {
        let from = 0
        for (let end; (end = rest.indexOf('\n', from)) !== -1; from = end + 1) {
          if (this.#read(rest.slice(from, end))) await this.#write()
        }
        rest = rest.slice(from)
      }
      if (rest.length > this.#maxLength) this.#fail(this.#number + 1, tooLarge(this.#maxLength))
    }
    this.#read(rest + this.#decode())
  }

  #decode (chunk?: string | Uint8Array): string {
    if (typeof chunk === 'string') return chunk
    if (chunk !== undefined && !(chunk instanceof Uint8Array)) throw wrongSource()
    try {
      return this.#decoder.decode(chunk, { stream: chunk !== undefined })
    } catch (cause) {
      return this.#fail(this.#number + 1, new StoreError('STORE_VALUE_INVALID', 'the source is not UTF-8', { cause }))
    }
  }

  /** Returns true if the batch is full. */
  #read (line: string): boolean {
    const number = ++this.#number
    if (number === 1 && line.startsWith('\ufeff')) line = line.slice(1) // the byte order mark of a text file
    if (line.length > this.#maxLength) this.#fail(number, tooLarge(this.#maxLength))
    if (line.trim() === '') return false
    try {
      const { collection, ...others } = parseLine(line)
      if (collection !== this.#last?.name) this.#last = this.#collectionOf(collection).text
      this.#lines.push({ number, collection: this.#last!, ...others })
      this.#length += others.text.length
    } catch (error) {
      this.#fail(number, error)
    }
    // Whether the collection exists has to be known before its keys are written.
    const isAwaited = this.#mode === 'absent' && this.#lines.at(-1)!.options !== undefined
    return isAwaited || this.#lines.length >= MAX_LINES || this.#length >= MAX_LENGTH
  }

  /** All calls are made together: the store executes them in order. */
  async #write (): Promise<void> {
    const lines = this.#lines
    this.#lines = []
    this.#length = 0
    this.#timed = new Map()
    const outcomes = await Promise.allSettled(lines.map(line => this.#call(line)))
    for (const [i, outcome] of outcomes.entries()) {
      if (outcome.status === 'rejected') this.#fail(lines[i]!.number, outcome.reason)
    }
    await nextTurn() // for a store in this process, whose calls do not yield to the event loop
  }

  async #call (line: Line): Promise<void> {
    if (this.#mode === 'replace') await this.#replace(line.collection)
    if (line.options === undefined) await this.#setInOrder(line)
    else await this.#configure(line.collection, line.options)
  }

  /** Clears the collection, and removes its options, before its first line. Nothing is written if that fails. */
  #replace (collection: Collection<string>): Promise<unknown> {
    let replaced = this.#replaced.get(collection.name)
    if (replaced === undefined) {
      replaced = Promise.all([collection.clear(this.#wait), collection.configure(DEFAULT_OPTIONS, this.#wait)])
      this.#replaced.set(collection.name, replaced)
    }
    return replaced
  }

  async #configure (collection: Collection<string>, options: CollectionOptions): Promise<void> {
    if (this.#mode === 'absent' && await collection.stats(this.#wait) !== undefined) return
    try {
      await collection.configure(options, this.#wait)
    } catch (error) {
      // The store has no `data`.
      if ((error as StoreError).code !== 'STORE_OPTION_INVALID' || options.durable !== true) throw error
      const { durable, ...others } = options
      await collection.configure(others, this.#wait)
    }
  }

  /** A key with a ttl may take two calls, and later lines with the same key have to wait for both. */
  #setInOrder (line: Line): Promise<void> {
    if (line.end === undefined && this.#timed.size === 0) return this.#set(line, this.#wait)
    const id = JSON.stringify([line.collection.name, line.key])
    const before = this.#timed.get(id)
    if (line.end === undefined && before === undefined) return this.#set(line, this.#wait)
    const set = before === undefined ? this.#setTimed(line) : before.then(() => this.#setTimed(line))
    this.#timed.set(id, set)
    return set
  }

  /** Acquires a key that is locked: a ttl counts from the write, so one computed before the wait would end too late. */
  async #setTimed (line: Line): Promise<void> {
    try {
      await this.#set(line, { ...this.#wait, timeout: 0 })
    } catch (error) {
      if ((error as StoreError).code !== 'STORE_LOCKED' || this.#wait.timeout === 0) throw error
      const lock = await line.collection.acquire(line.key, this.#wait)
      const ttl = ttlOf(line)
      if (isOver(ttl) || (this.#mode === 'absent' && lock.get() !== undefined)) this.#result.skipped++
      else {
        lock.set(line.text, { ttl })
        this.#result.keys++
      }
      await lock.release()
    }
  }

  async #set (line: Line, wait: WaitOptions): Promise<void> {
    const ttl = ttlOf(line)
    const ifAbsent = this.#mode === 'absent'
    try {
      if (isOver(ttl)) this.#result.skipped++
      else {
        await line.collection.set(line.key, line.text, { ...wait, ttl, ifAbsent })
        this.#result.keys++
      }
    } catch (error) {
      if (!ifAbsent || (error as StoreError).code !== 'STORE_EXISTS') throw error
      this.#result.skipped++
    }
  }

  #fail (number: number, error: unknown): never {
    if (!(error instanceof StoreError)) throw error
    const detail = error.detail === undefined ? '' : `: ${error.detail}`
    const failure = new StoreError(error.code, `line ${number}${detail}`, { cause: error.cause ?? error })
    const withLine: ImportFailure = Object.assign(failure, { line: number })
    throw withLine
  }
}

/** In seconds from now. */
function ttlOf ({ end }: Line): number | undefined {
  return end === undefined ? undefined : (end - Date.now()) / 1000
}

function isOver (ttl: number | undefined): boolean {
  return ttl !== undefined && ttl < MIN_SECONDS
}

function chunksOf (source: ImportSource): AsyncIterable<string | Uint8Array> | Iterable<string | Uint8Array> {
  if (typeof source === 'string' || source instanceof Uint8Array) return [source]
  if (Object(source) === source && (Symbol.asyncIterator in source || Symbol.iterator in source)) return source
  throw wrongSource()
}

function wrongSource (): StoreError {
  return new StoreError('STORE_OPTION_INVALID', 'invalid source: expected text or bytes, or an iterable of them')
}

function tooLarge (limit: number): StoreError {
  return new StoreError('STORE_VALUE_TOO_LARGE', `it has more than ${limit} characters`)
}

// A watch: existing keys, then each change. Lists and missed changes are requested from the store; a watch that keeps
// up is a member of the feed of its keys. A watch that is not read leaves the feed, costs nothing, and requests missed
// changes when it is read again.
import { offAbort, onAbort, type Aborter } from '../core/abort-signals.js'
import type { Abortable } from '../core/engine.js'
import { StoreError } from '../core/errors.js'
import { checkKey, wholeNumber } from '../core/validation.js'
import type { Codec } from '../core/value.js'
import { Backoff, isTransient } from './backoff.js'
import type { CollectionCalls, Scope } from './collection-calls.js'
import { EventStream, Wake } from './event-stream.js'
import {
  askForChanges, feedOf, type Changes, type Feed, type FeedMember, type RawChange, type WatchTarget
} from './feed.js'
import { checkOptions, checkSignal } from './requests.js'

export interface WatchOptions {
  /** Only this key, of at most 1024 bytes. Excludes `prefix`. Default: none. */
  key?: string | undefined
  /** Only keys that start with this prefix, of at most 1024 bytes. Default: all. */
  prefix?: string | undefined
  /** False: without the values. Default true. */
  values?: boolean | undefined
  /**
   * The revision of an earlier event, 0 or more. Continues after it instead of listing existing keys. Default: none.
   */
  since?: number | undefined
  /** Ends the watch. Default: none, it ends when the loop is left. */
  signal?: AbortSignal | undefined
}

/** The events of a watch. */
export type WatchEvent<T> =
  /** The key has this value: it existed at the start (without a `revision`), or it was written. */
  | { type: 'set', key: string, value: T, version: number, revision?: number | undefined }
  /** The key no longer has a value. */
  | { type: 'del' | 'expired' | 'evicted', key: string, version: number, revision: number }
  /** All existing keys have been reported. */
  | { type: 'ready', revision: number }
  /** Events were missed: existing keys follow, up to the next 'ready'; keys that are not among them are gone. */
  | { type: 'reset' }

/**
 * Maximum number of changes that a slow watch buffers, and of characters in their values. Above it, they stay in the
 * store.
 */
const MAX_PENDING = 1024
const MAX_PENDING_LENGTH = 2 ** 20
/** Maximum number of keys changed during a listing that are remembered, to report them only once. */
const MAX_LISTED = 10_000

const OPTIONS = ['key', 'prefix', 'values', 'since', 'signal']

/** STORE_OPTION_INVALID, STORE_KEY_INVALID. */
export function watch<T> (calls: CollectionCalls, codec: Codec, options: WatchOptions): EventStream<WatchEvent<T>> {
  checkOptions(options, OPTIONS)
  const { key, prefix = '', values = true, since, signal } = options
  if (key !== undefined && options.prefix !== undefined) {
    throw new StoreError('STORE_OPTION_INVALID', 'key cannot be combined with prefix')
  }
  checkKey(key ?? prefix)
  if (typeof values !== 'boolean') throw new StoreError('STORE_OPTION_INVALID', 'values must be true or false')
  if (since !== undefined) wholeNumber(since, 'since')
  if (signal !== undefined) checkSignal(signal)
  const target = { engine: calls.engine, collection: calls.name, key: key ?? prefix, exact: key !== undefined, values }
  return new EventStream(ended => new Watch<T>(target, codec, ended, since).events(signal, calls.scope))
}

class Watch<T> implements FeedMember, Abortable {
  readonly #target: WatchTarget
  readonly #codec: Codec
  readonly #ended: Aborter
  readonly #wake = new Wake()
  readonly #backoff = new Backoff()
  /** All changes up to this revision were reported or are pending. Undefined: existing keys have to be listed. */
  #revision: number | undefined
  /** By key, in order of version. */
  #pending = new Map<string, RawChange>()
  #pendingLength = 0
  /** Listed versions that are later than the start of the listing. */
  readonly #listed = new Map<string, number>()
  #feed: Feed | undefined
  #error: Error | undefined
  #hasAnswer = false

  constructor (target: WatchTarget, codec: Codec, ended: Aborter, since: number | undefined) {
    this.#target = target
    this.#codec = codec
    this.#ended = ended
    this.#revision = since
    ended.add(() => {
      this.#leave()
      this.#clear()
      this.#wake.wake()
    })
  }

  async * events (
    signal: AbortSignal | undefined, scope: Scope | undefined
  ): AsyncGenerator<WatchEvent<T>, undefined, undefined> {
    const end = (): void => { this.abort() }
    if (signal?.aborted === true || scope?.aborted === true) return
    if (signal !== undefined) onAbort(signal, end)
    scope?.add(this)
    try {
      let isReady = this.#revision === undefined
      for (;;) {
        if (this.#revision === undefined) yield * this.#list()
        const changes = await this.#ask(String(this.#revision), 'now')
        if (changes.reset === true) {
          this.reset()
          isReady = true // set before the listing: it is ready afterwards
          yield { type: 'reset' }
          continue
        }
        for (const change of changes.raw) if (this.#listed.get(change.key) !== change.version) this.#add(change)
        const revision = this.#revision = changes.revision!
        const isUpToDate = changes.more !== true
        if (isUpToDate) {
          this.#listed.clear()
          // A watch with many pending changes would soon fall behind the feed, and one that is not ready could never
          // join.
          if (isReady && this.#pending.size <= MAX_PENDING / 2) this.#join(revision)
        }
        for (let event; (event = this.#shift()) !== undefined;) yield event
        if (this.#isEnded) return
        if (!isReady && isUpToDate) {
          isReady = true
          yield { type: 'ready', revision }
        }
        while (this.#feed !== undefined) {
          await this.#wake.wait()
          for (let event; (event = this.#shift()) !== undefined;) yield event
        }
        if (this.#error !== undefined) throw this.#error
        if (this.#isEnded) return
        if (this.#revision as number | undefined === undefined) yield { type: 'reset' }
      }
    } catch (error) {
      if (!this.#isEnded) throw error
    } finally {
      if (signal !== undefined) offAbort(signal, end)
      scope?.delete(this)
      this.abort()
    }
  }

  abort (): void {
    this.#ended.abort()
  }

  receive (change: RawChange): void {
    this.#add(change)
    this.#revision = change.version
    if (this.#pending.size > MAX_PENDING || this.#pendingLength > MAX_PENDING_LENGTH) {
      const [first] = this.#pending.values()
      this.#leave()
      this.#revision = first!.version - 1
      this.#clear()
    }
    this.#wake.wake()
  }

  reset (): void {
    this.#feed = undefined
    this.#revision = undefined
    this.#clear()
    this.#wake.wake()
  }

  fail (error: unknown): void {
    this.#feed = undefined
    this.#error = error as Error
    this.#wake.wake()
  }

  get #isEnded (): boolean {
    return this.#ended.aborted
  }

  /** Lists the existing keys, then reports 'ready'. */
  async * #list (): AsyncGenerator<WatchEvent<T>, undefined, undefined> {
    this.#listed.clear()
    let cursor: string | undefined
    for (;;) {
      const page = await this.#ask(cursor, 'list')
      for (const change of page.raw) {
        if (change.version > page.start! && this.#listed.size < MAX_LISTED) this.#listed.set(change.key, change.version)
        const { key, version } = change
        yield { type: 'set', key, value: this.#valueOf(change), version }
        if (this.#isEnded) return
      }
      cursor = page.cursor
      if (page.revision === undefined) continue
      this.#revision = page.revision
      yield { type: 'ready', revision: page.revision }
      return
    }
  }

  /** The next pending change. */
  #shift (): WatchEvent<T> | undefined {
    if (this.#pending.size === 0) return undefined
    const [change] = this.#pending.values() as Iterable<RawChange>
    this.#pending.delete(change!.key)
    this.#pendingLength -= change!.text?.length ?? 0
    return this.#eventOf(change!)
  }

  #eventOf (change: RawChange): WatchEvent<T> {
    const { type, key, version } = change
    if (type !== 'set') return { type, key, version, revision: version }
    return { type, key, value: this.#valueOf(change), version, revision: version }
  }

  #valueOf ({ text }: RawChange): T {
    return (text === undefined ? undefined : this.#codec.decode(text)) as T
  }

  #add (change: RawChange): void {
    const { key, text } = change
    const before = this.#pending.get(key)
    if (before !== undefined) {
      this.#pending.delete(key)
      this.#pendingLength -= before.text?.length ?? 0
    }
    this.#pending.set(key, change)
    this.#pendingLength += text?.length ?? 0
  }

  #clear (): void {
    this.#pending.clear()
    this.#pendingLength = 0
  }

  /** If the feed is already past the revision, asks the store instead. */
  #join (revision: number): void {
    const feed = feedOf(this.#target)
    if (feed.join(this, revision)) this.#feed = feed
  }

  #leave (): void {
    this.#feed?.leave(this)
    this.#feed = undefined
  }

  /** Repeats the call until it succeeds. A store that was never reached is an error. */
  async #ask (cursor: string | undefined, how: 'list' | 'now'): Promise<Changes> {
    for (;;) {
      try {
        const changes = await askForChanges(this.#target, cursor, how, this.#ended)
        if (this.#isEnded) throw new StoreError('STORE_ABORTED') // between the answer and now
        this.#hasAnswer = true
        this.#backoff.reset()
        return changes
      } catch (error) {
        const isFatal = !isTransient(error) || (!this.#hasAnswer && (error as StoreError).code === 'STORE_UNREACHABLE')
        if (isFatal || this.#isEnded) throw error
        await this.#backoff.pause(this.#ended)
        if (this.#isEnded) throw error
      }
    }
  }
}

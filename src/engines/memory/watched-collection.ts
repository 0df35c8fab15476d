// A watched collection: its log of changes and the calls that wait for the next one. Calls are grouped by what they
// watch, so a changed key is compared once per prefix length instead of once per call. The log is kept for a while
// after the last call, for clients that resume.
import { Reply } from '../../core/engine.js'
import { writeParts, type ChangeType, type WatchReply, type WatchRequest } from '../../core/feed-replies.js'
import { toBuffer, type Bytes, type OwnBytes } from '../../core/value.js'
import type { Task } from './agenda.js'
import { ChangePage, bytesFit } from './change-page.js'
import { RecentChanges, type ChangeRecord } from './recent-changes.js'
import type { Context } from './context.js'
import type { Entries } from './entries.js'
import type { Caller, Waiting } from './lock.js'
import type { Wakeable, Wakeups } from './wakeups.js'

/** How long the log is kept without a call, in milliseconds. */
const KEPT_MS = 60_000
/** Replies of at least this size are encoded once for all calls. */
const LARGE = 32 * 1024
/** A caller with more unread bytes than this has to call again for the next changes. */
const MAX_UNREAD = 64 * 1024
/** Number of keys per page of a listing. */
const PAGE_KEYS = 1000

/** The parts of a keyspace that a WatchedCollection uses. */
export interface Watchable {
  readonly context: Context
  readonly wakeups: Wakeups
  /** The entries of a collection, if it has any. */
  entriesOf (collection: string): Entries | undefined
  /** The base of revisions: see Keyspace. */
  readonly epoch: number
  forget (collection: WatchedCollection): void
}

/** What a call watches. */
export interface Target extends WatchRequest {
  /** The key or the prefix. */
  readonly key: string
}

export class WatchedCollection implements Task, Wakeable {
  slot = -1
  readonly isUrgent = false
  readonly #host: Watchable
  readonly #log: RecentChanges
  readonly #byKey = new Map<string, Group>()
  readonly #byPrefix = new Map<string, Group>()
  /** The number of prefixes of each length. */
  readonly #lengths = new Map<number, number>()
  /** The first revision that has not been compared with what the calls watch. */
  #changedAt: number | undefined
  #lastUse = 0
  waiters = 0

  constructor (readonly name: string, host: Watchable) {
    this.#host = host
    this.#log = new RecentChanges(host.context.revision)
    this.used()
  }

  note (type: ChangeType, key: string): void {
    const { revision } = this.#host.context
    this.#log.add(type, key, revision)
    this.#host.wakeups.changed()
    if (this.waiters === 0 || this.#changedAt !== undefined) return
    this.#changedAt = revision
    this.#host.wakeups.wake(this)
  }

  /** Wakes the groups that watch a changed key. */
  answer (): boolean {
    let record = this.#log.after(this.#changedAt! - 1)
    this.#changedAt = undefined
    for (; record !== undefined; record = record.next) {
      const { key, revision } = record
      if (this.#byKey.size > 0) this.#byKey.get(key)?.wake(revision)
      for (const length of this.#lengths.keys()) this.#byPrefix.get(key.slice(0, length))?.wake(revision)
    }
    return false
  }

  /** A cursor is the version of a change at this revision. */
  cursorAt (revision: number): string {
    return String(this.#host.epoch + revision)
  }

  /** The revision of a cursor; undefined if later changes may be missing, or if it belongs to another store. */
  revisionOf (cursor: string): number | undefined {
    const revision = Number(cursor) - this.#host.epoch
    return revision >= this.#log.floor && revision <= this.#host.context.revision ? revision : undefined
  }

  /** The changes after a revision. */
  changes (after: number, target: Target): { head: WatchReply, texts: OwnBytes[] } {
    const page = new ChangePage(this.#host.epoch, target.values === true)
    const entries = this.#host.entriesOf(this.name)
    for (let record = this.#log.after(after), next: ChangeRecord | undefined; record !== undefined; record = next) {
      next = record.next
      if (!isWatched(record.key, target)) continue
      const { type } = record
      const entry = type === 'set' ? entries?.find(record.key) : undefined
      if (type === 'set' && entry === undefined) { // it has just expired; its record is now the last one
        next ??= record
        continue
      }
      if (!page.add(type, record.key, record.revision, entry)) {
        const cursor = this.cursorAt(page.last)
        return { head: { changes: page.changes, cursor, revision: Number(cursor), more: true }, texts: page.texts }
      }
    }
    const cursor = this.cursorAt(this.#host.context.revision)
    return { head: { changes: page.changes, cursor, revision: Number(cursor) }, texts: page.texts }
  }

  /** Lists existing keys from `position` on. `since` is the revision at the start of the listing. */
  list (position: number, since: number, { key, exact, values }: Target): { head: WatchReply, texts: OwnBytes[] } {
    const page = new ChangePage(this.#host.epoch, values === true)
    const entries = this.#host.entriesOf(this.name)
    const start = this.#host.epoch + since
    const end = { start, cursor: this.cursorAt(since), revision: start }
    if (exact === true) {
      const entry = entries?.find(key)
      if (entry !== undefined) page.add('set', key, entry.version, entry)
      return { head: { changes: page.changes, ...end }, texts: page.texts }
    }
    let found = entries?.page(position, PAGE_KEYS) ?? { values: [], next: undefined }
    const fits = bytesFit(found.values, values === true)
    if (fits < found.values.length) found = entries!.page(position, fits)
    for (const entry of found.values) {
      if (entry.key.startsWith(key)) page.addAnyway('set', entry.key, entry.version, entry)
    }
    const next = found.next === undefined ? end : { start, cursor: `${LIST}${found.next}.${since}` }
    return { head: { changes: page.changes, ...next }, texts: page.texts }
  }

  /** Replies when there are changes after a revision. */
  wait (target: Target, after: number, caller: Caller, id: number, isStream: boolean): void {
    const groups = target.exact === true ? this.#byKey : this.#byPrefix
    let group = groups.get(target.key)
    if (group === undefined) {
      groups.set(target.key, group = new Group(this, target.key, target.exact === true, this.#host))
      if (target.exact !== true) this.#lengths.set(target.key.length, (this.#lengths.get(target.key.length) ?? 0) + 1)
    }
    const call = new WaitingWatch(group, target, after, caller, id, isStream, this.#host.context.clock.now)
    group.calls.add(call)
    this.waiters++
    caller.waiting.set(id, call)
    if (isStream) caller.streams++
    let record = this.#log.after(after)
    while (record !== undefined && !isWatched(record.key, target)) record = record.next
    if (record !== undefined) group.wake(record.revision)
  }

  remove (call: WaitingWatch): void {
    const { group } = call
    if (!group.calls.delete(call)) return
    call.caller.waiting.delete(call.id)
    if (call.isStream) call.caller.streams--
    this.waiters--
    if (this.waiters === 0) this.used()
    if (group.calls.size > 0) return
    if (group.isExact) {
      this.#byKey.delete(group.key)
      return
    }
    const { length } = group.key
    const others = this.#lengths.get(length)! - 1
    this.#byPrefix.delete(group.key)
    if (others === 0) this.#lengths.delete(length)
    else this.#lengths.set(length, others)
  }

  /** Called for every call. */
  used (): void {
    const { agenda, clock } = this.#host.context
    this.#lastUse = clock.now
    agenda.schedule(this, clock.now + KEPT_MS)
  }

  /** Drops the log if there was no call for a while. */
  run (): number | undefined {
    if (this.waiters > 0) return undefined
    const end = this.#lastUse + KEPT_MS
    if (this.#host.context.clock.now < end) return end
    this.#host.forget(this)
    return undefined
  }
}

function isWatched (changed: string, { key, exact }: Target): boolean {
  return exact === true ? changed === key : changed.startsWith(key)
}

/** Prefix of the cursors of a listing. */
export const LIST = 'list.'

/** The calls that wait for changes of the same keys. */
class Group implements Wakeable {
  readonly calls = new Set<WaitingWatch>()
  /** The first revision to report. */
  #wokenAt: number | undefined

  constructor (
    readonly collection: WatchedCollection, readonly key: string, readonly isExact: boolean, readonly host: Watchable
  ) {}

  wake (revision: number): void {
    if (this.#wokenAt === undefined) this.host.wakeups.wake(this)
    this.#wokenAt = Math.min(this.#wokenAt ?? Infinity, revision)
  }

  answer (take: (calls: number) => number): boolean {
    const wokenAt = this.#wokenAt!
    const made = new Map<string, Changes>() // most calls have the same cursor
    let visits = this.calls.size
    let left = take(visits)
    for (const call of this.calls) {
      if (visits-- === 0) break
      if (left === 0) return true
      const after = Math.max(call.after, wokenAt - 1)
      const name = `${after} ${String(call.target.values)}`
      let changes = made.get(name)
      if (changes === undefined) made.set(name, changes = this.#changes(after, call.target))
      if (changes.text === undefined) continue
      left--
      this.#send(call, changes)
    }
    this.#wokenAt = undefined
    return false
  }

  #changes (after: number, target: Target): Changes {
    const { head, texts } = this.collection.changes(after, target)
    const text = head.changes.length === 0 ? undefined : writeParts(head, texts)
    return {
      text: text !== undefined && text.length >= LARGE ? toBuffer(text) : text,
      end: head.more === true ? undefined : head.revision! - this.host.epoch
    }
  }

  #send (call: WaitingWatch, { text, end }: Changes): void {
    const { caller, id } = call
    const reply = new Reply<Bytes>()
    reply.text = text
    reply.more = call.isStream && end !== undefined && caller.backlog <= MAX_UNREAD
    if (reply.more) {
      call.after = end!
      this.calls.delete(call)
      this.calls.add(call) // the next rounds begin with others
    } else call.withdraw()
    this.host.wakeups.send(caller, id, reply)
  }
}

/** What a group reports. */
interface Changes {
  /** Undefined if nothing has changed. */
  readonly text: OwnBytes | undefined
  /** All changes up to this revision are in it; undefined if there are more. */
  readonly end: number | undefined
}

class WaitingWatch implements Waiting {
  constructor (
    readonly group: Group, readonly target: Target, public after: number, readonly caller: Caller,
    readonly id: number, readonly isStream: boolean, readonly since: number
  ) {}

  withdraw (): void {
    this.group.collection.remove(this)
  }
}

// The changes of some keys, for all watches of this process that follow them: one call waits in the store for all of
// them, and the next one is made when it was answered. So a thousand watches cost the store as much as one.
import { onAbort } from '../core/abort-signals.js'
import { Request, type Engine } from '../core/engine.js'
import { readParts, type ChangeType, type WatchReply, type WatchRequest } from '../core/feed-replies.js'
import { Backoff, isTransient } from './backoff.js'

export interface RawChange {
  readonly type: ChangeType
  readonly key: string
  readonly version: number
  /** JSON. */
  readonly text: string | undefined
}

/** The keys that are watched. */
export interface WatchTarget {
  readonly engine: Engine
  readonly collection: string
  /** The key, or the prefix. */
  readonly key: string
  readonly exact: boolean
  readonly values: boolean
}

export interface FeedMember {
  /** Changes after those that it has, in the order of their versions. */
  receive (change: RawChange): void
  /** Changes were missed. It is not a member any more. */
  reset (): void
  /** There will be no changes. It is not a member any more. */
  fail (error: unknown): void
}

export interface Changes extends WatchReply {
  raw: RawChange[]
}

/** One `watch` call. */
export async function askForChanges (
  target: WatchTarget, cursor: string | undefined, how: 'list' | 'now' | 'wait', ended: AbortSignal
): Promise<Changes> {
  const { engine, collection, key, exact, values } = target
  const request = new Request('watch', collection, key)
  const options: WatchRequest = { exact, values, list: how === 'list' }
  request.text = JSON.stringify(options)
  request.cursor = cursor
  request.nowait = how === 'now'
  request.wait = { timeout: undefined, signal: ended, scope: undefined }
  const { head, texts } = readParts<WatchReply>((await engine.call(request)).text)
  let next = 0
  const raw = head.changes.map(([type, key, version]): RawChange => {
    return { type, key, version, text: type === 'set' ? texts[next++] : undefined }
  })
  return { ...head, raw }
}

export class Feed {
  readonly #target: WatchTarget
  readonly #members = new Map<FeedMember, number>()
  readonly #ended: () => void
  #run: AbortController | undefined
  /** Changes up to this one were handed out. */
  #revision = 0

  /** `ended` is called when there are no members. */
  constructor (target: WatchTarget, ended: () => void) {
    this.#target = target
    this.#ended = ended
  }

  /** For a member that has all changes up to a revision. False if the feed is further already. */
  join (member: FeedMember, revision: number): boolean {
    if (this.#run !== undefined && this.#revision > revision) return false
    this.#members.set(member, revision)
    if (this.#run !== undefined) return true
    this.#run = new AbortController()
    onAbort(this.#run.signal, () => {}) // a signal that keeps its listener costs each call much less
    this.#revision = revision
    this.#follow(this.#run.signal).catch(error => {
      for (const member of this.#end()) member.fail(error)
    })
    return true
  }

  leave (member: FeedMember): void {
    if (this.#members.delete(member) && this.#members.size === 0) this.#end()
  }

  /** Gives the members that it had. */
  #end (): FeedMember[] {
    const members = [...this.#members.keys()]
    this.#members.clear()
    this.#run?.abort()
    this.#run = undefined
    this.#ended()
    return members
  }

  async #follow (ended: AbortSignal): Promise<void> {
    const backoff = new Backoff()
    while (!ended.aborted) {
      let changes: Changes
      try {
        changes = await askForChanges(this.#target, String(this.#revision), 'wait', ended)
      } catch (error) {
        if (ended.aborted) return
        if (!isTransient(error)) throw error
        await backoff.pause(ended)
        continue
      }
      if (ended.aborted) return
      backoff.reset()
      if (changes.reset === true) {
        for (const member of this.#end()) member.reset()
        return
      }
      this.#revision = changes.revision!
      for (const [member, since] of this.#members) {
        for (const change of changes.raw) {
          if (!this.#members.has(member)) break
          if (change.version > since) member.receive(change)
        }
      }
    }
  }
}

const feeds = new WeakMap<Engine, Map<string, Feed>>()

/** The feed that all watches of the same keys share. */
export function feedOf (target: WatchTarget): Feed {
  const { engine, collection, key, exact, values } = target
  let ofEngine = feeds.get(engine)
  if (ofEngine === undefined) feeds.set(engine, ofEngine = new Map())
  const name = JSON.stringify([collection, key, exact, values])
  let feed = ofEngine.get(name)
  if (feed === undefined) {
    feed = new Feed(target, () => { if (ofEngine.get(name) === feed) ofEngine.delete(name) })
    ofEngine.set(name, feed)
  }
  return feed
}

/** Feeds that an engine has: none, when nobody watches. */
export function countFeeds (engine: Engine): number {
  return feeds.get(engine)?.size ?? 0
}

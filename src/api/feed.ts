// The changes of some keys, shared by all watches of this process: a single call waits in the store, and is repeated
// after each reply. A thousand watches cost the store as much as one.
import { Aborter } from '../core/abort-signals.js'
import { Request, type Abortion, type Engine, type Reply } from '../core/engine.js'
import { readParts, type ChangeType, type WatchReply, type WatchRequest } from '../core/feed-replies.js'
import { Backoff, isTransient } from './backoff.js'

export interface RawChange {
  readonly type: ChangeType
  readonly key: string
  readonly version: number
  /** JSON text. */
  readonly text: string | undefined
}

/** The watched keys. */
export interface WatchTarget {
  readonly engine: Engine
  readonly collection: string
  /** The key or the prefix. */
  readonly key: string
  readonly exact: boolean
  readonly values: boolean
}

export interface FeedMember {
  /** Called with each change after the member's revision, in order of version. */
  receive (change: RawChange): void
  /** Changes were missed. The member has been removed. */
  reset (): void
  /** The feed has failed. The member has been removed. */
  fail (error: unknown): void
}

export interface Changes extends WatchReply {
  raw: RawChange[]
}

/** Makes one `watch` call. `onmore` is called with the changes of all replies but the last. */
export async function askForChanges (
  target: WatchTarget, cursor: string | undefined, how: 'list' | 'now' | 'wait', ended: Abortion,
  onmore?: (changes: Changes) => void
): Promise<Changes> {
  const { engine, collection, key, exact, values } = target
  const request = new Request('watch', collection, key)
  const options: WatchRequest = { exact, values, list: how === 'list' }
  request.text = JSON.stringify(options)
  request.cursor = cursor
  request.nowait = how === 'now'
  request.wait = { timeout: undefined, signal: ended, scope: undefined }
  if (onmore !== undefined) {
    request.stream = true
    request.wait.onmore = reply => { onmore(changesOf(reply)) }
  }
  return changesOf(await engine.call(request))
}

function changesOf (reply: Reply): Changes {
  const { head, texts } = readParts<WatchReply>(reply.text)
  const raw: RawChange[] = []
  let next = 0
  for (const [type, key, version] of head.changes) {
    raw.push({ type, key, version, text: type === 'set' ? texts[next++] : undefined })
  }
  return Object.assign(head, { raw })
}

export class Feed {
  readonly #target: WatchTarget
  readonly #members = new Map<FeedMember, number>()
  readonly #ended: () => void
  #run: Aborter | undefined
  /** Changes up to this revision were delivered. */
  #revision = 0

  /** `ended` is called when the last member has left. */
  constructor (target: WatchTarget, ended: () => void) {
    this.#target = target
    this.#ended = ended
  }

  /** Adds a member that has all changes up to `revision`. False if the feed is already past it. */
  join (member: FeedMember, revision: number): boolean {
    if (this.#run !== undefined && this.#revision > revision) return false
    this.#members.set(member, revision)
    if (this.#run !== undefined) return true
    this.#run = new Aborter()
    this.#revision = revision
    this.#follow(this.#run).catch(error => {
      for (const member of this.#end()) member.fail(error)
    })
    return true
  }

  leave (member: FeedMember): void {
    if (this.#members.delete(member) && this.#members.size === 0) this.#end()
  }

  /** Ends the feed and returns its members. */
  #end (): FeedMember[] {
    const members = [...this.#members.keys()]
    this.#members.clear()
    this.#run?.abort()
    this.#run = undefined
    this.#ended()
    return members
  }

  async #follow (ended: Aborter): Promise<void> {
    const backoff = new Backoff()
    const deliver = (changes: Changes): void => {
      backoff.reset()
      if (!ended.aborted) this.#deliver(changes)
    }
    while (!ended.aborted) {
      let changes: Changes
      try {
        changes = await askForChanges(this.#target, String(this.#revision), 'wait', ended, deliver)
      } catch (error) {
        if (ended.aborted) return
        if (!isTransient(error)) throw error
        await backoff.pause(ended)
        continue
      }
      if (ended.aborted) return
      if (changes.reset === true) {
        for (const member of this.#end()) member.reset()
        return
      }
      deliver(changes)
    }
  }

  #deliver ({ raw, revision }: Changes): void {
    this.#revision = revision!
    for (const [member, since] of this.#members) {
      for (const change of raw) {
        if (!this.#members.has(member)) break
        if (change.version > since) member.receive(change)
      }
    }
  }
}

const feeds = new WeakMap<Engine, Map<string, Feed>>()

/** The feed shared by all watches of the same keys. */
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

/** The number of feeds of an engine: 0 without watches. */
export function countFeeds (engine: Engine): number {
  return feeds.get(engine)?.size ?? 0
}

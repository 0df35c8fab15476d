// The texts of replies to `watch` and `subscribe`: a head, which is JSON, and the values or messages it is about, each
// behind a record separator (RFC 7464), which no JSON text contains. So they are carried as they are stored, and
// nobody has to parse them but whoever asked.
import { StoreError } from './errors.js'
import type { Bytes } from './value.js'

export type ChangeType = 'set' | 'del' | 'expired' | 'evicted'

/** The `text` of a watch, as JSON. */
export interface WatchRequest {
  /** Only the key itself, not all that begin with it. */
  exact?: boolean
  /** With the values. */
  values?: boolean
  /** Without a cursor: what is there comes first, page by page. */
  list?: boolean
}

/** The versions of changes and the revisions of a store are of one sequence, which grows over restarts, too. */
export interface WatchReply {
  /** In the order of their versions, except while listing. With values, each 'set' has a text. */
  changes: Array<[type: ChangeType, key: string, version: number]>
  /** For the next call. */
  cursor: string
  /** Everything up to it has been reported. None while listing. */
  revision?: number
  /** While listing: the revision at its start. */
  start?: number
  /** There is more to report already. */
  more?: boolean
  /** Changes since the request's cursor are not known, or not all: what is there has to be listed. */
  reset?: boolean
}

export interface MessageReply {
  cursor: string
  /** The number of the first message, or that of the next one. Messages of a channel are numbered in their order. */
  first: number
  /** How many were dropped before these; null if that is not known. */
  missed?: number | null
}

const SEPARATOR = '\x1e'

/** `head` has no strings but bytes. */
export function writeParts (head: WatchReply | MessageReply, texts: readonly Bytes[]): Bytes {
  const json = 'changes' in head ? writeChanges(head) : JSON.stringify(head)
  if (texts.every(text => typeof text === 'string')) return [json, ...texts].join(SEPARATOR)
  const parts = [json, ...texts].flatMap((part, i) => i === 0 ? [part] : [SEPARATOR, part])
  return Buffer.concat(parts.map(part => typeof part === 'string' ? Buffer.from(part, 'latin1') : part))
}

/** What JSON.stringify would give, in half the time. */
function writeChanges ({ changes, ...rest }: WatchReply): string {
  const list = changes.map(([type, key, version]) => `["${type}",${JSON.stringify(key)},${version}]`).join()
  return `{"changes":[${list}],${JSON.stringify(rest).slice(1)}`
}

/** STORE_PROTOCOL. */
export function readParts<Head> (text: string | undefined): { head: Head, texts: string[] } {
  const [json, ...texts] = (text ?? '').split(SEPARATOR)
  try {
    return { head: JSON.parse(json!) as Head, texts }
  } catch (cause) {
    throw new StoreError('STORE_PROTOCOL', 'the head of a reply that is no JSON', { cause })
  }
}

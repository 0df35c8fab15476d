// The text of replies to `watch` and `subscribe`: a JSON head, then the values or messages, each preceded by a record
// separator (RFC 7464), which JSON text cannot contain. Values are passed on as stored; only the final receiver parses
// them.
import { StoreError } from './errors.js'
import { toBuffer, type OwnBytes } from './value.js'

export type ChangeType = 'set' | 'del' | 'expired' | 'evicted'

/** The `text` of a watch request, as JSON. */
export interface WatchRequest {
  /** Only the key itself instead of all keys with this prefix. */
  exact?: boolean
  /** Include the values. */
  values?: boolean
  /** Without a cursor: list the existing keys first, page by page. */
  list?: boolean
}

/** Versions of changes and revisions of a store are one sequence, which keeps growing over restarts. */
export interface WatchReply {
  /** In order of version, except while listing. With values, each 'set' has a text. */
  changes: Array<[type: ChangeType, key: string, version: number]>
  /** The cursor of the next call. */
  cursor: string
  /** All changes up to this revision have been reported. Undefined while listing. */
  revision?: number
  /** While listing: the revision when the listing started. */
  start?: number
  /** More changes are available now. */
  more?: boolean
  /** Some changes since the request's cursor are no longer known: the keys have to be listed again. */
  reset?: boolean
}

export interface MessageReply {
  cursor: string
  /** The number of the first message, or of the next one if there is none. Messages are numbered per channel. */
  first: number
  /** How many messages were dropped before these; null if unknown. */
  missed?: number | null
}

const SEPARATOR = '\x1e'

/** The strings in `head` are in the keyspace's form, one character per byte. */
export function writeParts (head: WatchReply | MessageReply, texts: readonly OwnBytes[]): OwnBytes {
  let all = 'changes' in head ? writeChanges(head) : JSON.stringify(head)
  for (const [i, text] of texts.entries()) {
    if (typeof text !== 'string') return concat([all, ...texts.slice(i)])
    all += SEPARATOR + text
  }
  return all
}

function concat (parts: readonly OwnBytes[]): Buffer {
  const separated = parts.flatMap((part, i) => i === 0 ? [part] : [SEPARATOR, part])
  return Buffer.concat(separated.map(toBuffer))
}

/** Same output as JSON.stringify in less than half the time. */
function writeChanges ({ changes, cursor, revision, start, more, reset }: WatchReply): string {
  let list = ''
  for (const [type, key, version] of changes) {
    list += `${list === '' ? '' : ','}["${type}",${JSON.stringify(key)},${version}]`
  }
  let json = `{"changes":[${list}],"cursor":"${cursor}"`
  if (revision !== undefined) json += `,"revision":${revision}`
  if (start !== undefined) json += `,"start":${start}`
  if (more === true) json += ',"more":true'
  if (reset === true) json += ',"reset":true'
  return json + '}'
}

/** Throws STORE_PROTOCOL. */
export function readParts<Head> (text: string | undefined): { head: Head, texts: string[] } {
  const texts = (text ?? '').split(SEPARATOR)
  try {
    return { head: JSON.parse(texts.shift()!) as Head, texts }
  } catch (cause) {
    throw new StoreError('STORE_PROTOCOL', 'the head of a reply is not JSON', { cause })
  }
}

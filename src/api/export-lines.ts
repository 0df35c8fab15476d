// Writes and reads the lines of an export, in NDJSON: one line for each collection with options, then one for each of
// its keys.
//
//   {"collection": name, "options": {…}}                as for `configure`, without defaults
//   {"collection": name, "key": key, "version": number, "expiresAt": time, "value": JSON}
//
// `expiresAt` is set by a ttl, and absent without one. The version is informational: an import assigns a new one.
import { StoreError } from '../core/errors.js'
import { memberTexts } from '../core/member-texts.js'
import type { CollectionOptions } from './options.js'

/** The content of a line. */
export interface ExportLine {
  collection: string
  /** Undefined in the line of a key. */
  options: CollectionOptions | undefined
  key: string
  /** The value as JSON text. */
  text: string
  /** When the ttl ends, in milliseconds since the epoch. */
  end: number | undefined
}

/** The options of a collection that has not been configured. */
export const DEFAULT_OPTIONS = Object.freeze({
  expireKeys: 0, maxKeys: 0, maxBytes: 0, evict: true, keep: true, durable: false, near: 0
}) satisfies CollectionOptions

const MEMBERS = ['collection', 'key', 'value', 'version', 'expiresAt', 'options']
const VALUE = ',"value":'

/** The line of a collection; '' if it has the default options. */
export function optionsLine (collection: string, options: CollectionOptions): string {
  const changed = Object.entries(DEFAULT_OPTIONS)
    .map(([option, usual]) => [option, options[option as keyof CollectionOptions] ?? usual, usual])
    .filter(([, value, usual]) => value !== usual)
  if (changed.length === 0) return ''
  return JSON.stringify({ collection, options: Object.fromEntries(changed) as CollectionOptions }) + '\n'
}

/** The value is last, as stored, so that an import can extract its text without parsing it. */
export function keyLine (
  collection: string, key: string, version: number, end: Date | undefined, text: string
): string {
  // Building an object for each line would take twice as long.
  const expiresAt = end === undefined ? '' : `,"expiresAt":"${end.toISOString()}"`
  const names = `{"collection":${JSON.stringify(collection)},"key":${JSON.stringify(key)}`
  return `${names},"version":${version}${expiresAt}${VALUE}${onOneLine(text)}}\n`
}

/** JSON contains line breaks only between tokens, where a space is equivalent. */
function onOneLine (json: string): string {
  return json.includes('\n') || json.includes('\r') ? json.replaceAll(/[\n\r]/g, ' ') : json
}

/** STORE_VALUE_INVALID. Names, options and values are checked by the calls that use them. */
export function parseLine (line: string): ExportLine {
  const { text, ...members } = split(line) ?? whole(line)
  const unknown = Object.keys(members).find(member => !MEMBERS.includes(member))
  if (unknown !== undefined) {
    throw wrong(`there is no member ${JSON.stringify(unknown)}; there are ${MEMBERS.join(', ')}`)
  }
  const { collection, key, expiresAt, options } = members
  if (typeof collection !== 'string') throw wrong('expected the name of a collection in "collection"')
  if (key === undefined && typeof options === 'object' && options !== null) {
    return { collection, options, key: '', text: '', end: undefined }
  }
  if (typeof key !== 'string') throw wrong('expected a key in "key", or options of the collection in "options"')
  if (text === undefined) throw wrong('expected a value in "value"')
  return { collection, options: undefined, key, text, end: expiresAt === undefined ? undefined : timeIn(expiresAt) }
}

/**
 * The members of a line whose value is last, with the text of the value. Undefined for other lines, which take longer
 * to parse. In a string, the quotes of VALUE would have backslashes.
 */
function split (line: string): Record<string, unknown> & { text: string } | undefined {
  const at = line.indexOf(VALUE)
  const end = line.lastIndexOf('}')
  if (at === -1 || line.slice(end + 1).trim() !== '') return undefined
  const text = line.slice(at + VALUE.length, end)
  try {
    JSON.parse(text)
    return { ...JSON.parse(`${line.slice(0, at)}}`) as object, text }
  } catch {
    return undefined
  }
}

function whole (line: string): Record<string, unknown> & { text: string | undefined } {
  let parsed: unknown
  try {
    parsed = JSON.parse(line)
  } catch {}
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) throw wrong('expected a JSON object')
  const { value, ...members } = parsed as Record<string, unknown>
  return { ...members, text: memberTexts(`[${line}]`, 'value')[0] }
}

function timeIn (value: unknown): number {
  const time = typeof value === 'string' ? Date.parse(value) : NaN
  if (Number.isNaN(time)) throw wrong('expected a time in "expiresAt", like "2030-01-31T12:00:00Z"')
  return time
}

function wrong (detail: string): StoreError {
  return new StoreError('STORE_VALUE_INVALID', detail)
}

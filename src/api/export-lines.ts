// The lines of an export, written and read. It is NDJSON: a line for each collection that has options, then a line for
// each of its keys.
//
//   {"collection": name, "options": {…}}                as `configure` takes them, without those that are the defaults
//   {"collection": name, "key": key, "version": number, "expiresAt": time, "value": JSON}
//
// `expiresAt` is the end of a ttl, absent where the key has none. The version is for people: an import gives a new one.
import { StoreError } from '../core/errors.js'
import { memberTexts } from '../core/member-texts.js'
import type { CollectionOptions } from './options.js'

/** What a line says. */
export interface ExportLine {
  collection: string
  /** Undefined in a line of a key. */
  options: CollectionOptions | undefined
  key: string
  /** The value as JSON text. */
  text: string
  /** The end of a ttl in milliseconds since the epoch. */
  end: number | undefined
}

/** The options of a collection that has not been configured. */
export const DEFAULT_OPTIONS = Object.freeze({
  expireKeys: 0, maxKeys: 0, maxBytes: 0, evict: true, keep: true, durable: false
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

/** The value comes last, as it is stored, so that it is read without being parsed and written again. */
export function keyLine (
  collection: string, key: string, version: number, end: Date | undefined, text: string
): string {
  // An object for each line would take twice as long.
  const expiresAt = end === undefined ? '' : `,"expiresAt":"${end.toISOString()}"`
  const names = `{"collection":${JSON.stringify(collection)},"key":${JSON.stringify(key)}`
  return `${names},"version":${version}${expiresAt}${VALUE}${onOneLine(text)}}\n`
}

/** JSON has line breaks between its parts only, where a space does as well. */
function onOneLine (json: string): string {
  return json.includes('\n') || json.includes('\r') ? json.replaceAll(/[\n\r]/g, ' ') : json
}

/** STORE_VALUE_INVALID. Names, options and values are checked by the calls that they are for. */
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
 * The members of a line whose value comes last, with the text of the value. Undefined for any other line, which takes
 * longer. In a string, the quotes of VALUE would have backslashes.
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

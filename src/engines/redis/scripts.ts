// Assembles the scripts, either as one library of functions, which the server initializes once, or as plain scripts if
// functions may not be loaded.
import { createHash } from 'node:crypto'
import bounds from './scripts/bounds.js'
import call from './scripts/call.js'
import channels from './scripts/channels.js'
import clear from './scripts/clear.js'
import collection from './scripts/collection.js'
import entries from './scripts/entries.js'
import fields from './scripts/fields.js'
import jobs from './scripts/jobs.js'
import listing from './scripts/listing.js'
import locks from './scripts/locks.js'
import number from './scripts/number.js'
import opening from './scripts/opening.js'
import queue from './scripts/queue.js'
import rights from './scripts/rights.js'
import saving from './scripts/saving.js'
import turn from './scripts/turn.js'
import visit from './scripts/visit.js'
import watch from './scripts/watch.js'
import watches from './scripts/watches.js'

/** The locals of a part are visible in all parts that follow. Lua allows 200 of them in one block. */
const SHARED = [
  collection, fields, opening, saving, entries, bounds, locks, jobs, queue, number, turn, watches, call, visit
]
/** Parts whose locals no other part uses. */
const SEPARATE = [clear, watch, channels, listing, rights]

export const TEXT = [...SHARED, ...SEPARATE.map(part => `do${part}end`)].join('\n')

const NAMES = [
  'call', 'read', 'write', 'cancel', 'clear', 'configure', 'describe', 'fetch', 'held', 'leave', 'list', 'publish',
  'queue',
  'rights', 'scan', 'size', 'subscribe', 'sweep', 'tend', 'watch'
] as const

export type ScriptName = typeof NAMES[number]

export interface Script {
  text: string
  sha: string
}

export type Scripts = Record<ScriptName, Script>

export interface Library {
  /** Contains a hash of its text, so that each version of this package has its own library. */
  name: string
  code: string
  /** The name of each function, which must be unique on a server. */
  functions: Record<ScriptName, string>
}

// When memory is full, releases, deletes and heartbeats still have to work: only these two functions are rejected.
const flagsOf = (name: ScriptName): string => name === 'write' || name === 'publish' ? '' : 'allow-oom'

/**
 * Two scripts, one of which the server rejects when memory is full. The first argument is the name of the function to
 * call. `generation`: creates the same scripts with another hash.
 */
export function makeScripts (generation = ''): Scripts {
  const script = (flags: string): Script => {
    const text = `#!lua${flags === '' ? '' : ` flags=${flags}`}\nlocal isLibrary = false\n${TEXT}\nreturn scripts[table.remove(ARGV, 1)](KEYS, ARGV)\n-- ${generation}`
    return { text, sha: createHash('sha1').update(text).digest('hex') }
  }
  const refused = script('')
  const allowed = script('allow-oom')
  return ofEach(name => flagsOf(name) === '' ? refused : allowed)
}

/** `generation`: creates the same functions in a library of another name. */
export function makeLibrary (generation = ''): Library {
  const name = `strong_store_${createHash('sha1').update(TEXT + generation).digest('hex').slice(0, 16)}`
  const functions = ofEach(script => `${name}_${script}`)
  const registered = NAMES.map(script => `redis.register_function{ function_name = '${functions[script]}', callback = scripts.${script}, ` +
    `flags = { ${flagsOf(script) === '' ? '' : `'${flagsOf(script)}'`} } }`)
  return { name, code: [`#!lua name=${name}`, 'local isLibrary = true', TEXT, ...registered, ''].join('\n'), functions }
}

function ofEach<T> (make: (name: ScriptName) => T): Record<ScriptName, T> {
  return Object.fromEntries(NAMES.map(name => [name, make(name)])) as Record<ScriptName, T>
}

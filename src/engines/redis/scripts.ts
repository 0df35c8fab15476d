// The Lua scripts: how they are put together, and the hashes by which the server knows them.
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'

/** What most scripts begin with. A script is one text: what its parts declare is local to all that follow. */
const COMMON = ['collection', 'entries', 'locks', 'number', 'turn']

const PARTS = {
  call: ['read', ...COMMON, 'call'],
  cancel: [...COMMON, 'cancel'],
  clear: [...COMMON, 'clear'],
  configure: [...COMMON, 'configure'],
  describe: [...COMMON, 'describe'],
  fetch: [...COMMON, 'fetch'],
  held: [...COMMON, 'held'],
  leave: [...COMMON, 'leave'],
  queue: [...COMMON, 'queue'],
  rights: ['rights'],
  scan: [...COMMON, 'scan'],
  size: [...COMMON, 'size'],
  tend: [...COMMON, 'tend']
} as const

export type ScriptName = keyof typeof PARTS

export interface Script {
  text: string
  sha: string
}

export type Scripts = Record<ScriptName, Script>

// tsc does not copy them: they are read where they were written, which the package has beside dist/.
const FOLDER = new URL('../../../../src/engines/redis/scripts/', import.meta.url)

let loading: Promise<Scripts> | undefined

export function loadScripts (): Promise<Scripts> {
  loading ??= load()
  return loading
}

async function load (): Promise<Scripts> {
  const entries = Object.entries(PARTS).map(async ([name, parts]) => {
    const texts = await Promise.all(parts.map(part => readFile(new URL(`${part}.lua`, FOLDER), 'utf8')))
    const text = texts.join('\n')
    return [name, { text, sha: createHash('sha1').update(text).digest('hex') }] as const
  })
  return Object.fromEntries(await Promise.all(entries)) as Scripts
}

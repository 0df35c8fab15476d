// `get`, `set`, `del` and `keys`.
import { text } from 'node:stream/consumers'
import { CLIENT, withStore } from './client.js'
import type { Command, Io } from './command.js'
import { EXIT, Exit, invalid } from './exit.js'
import { Output } from './output.js'
import { local, type Settings } from './settings.js'

const KEYS_PER_PAGE = 250
const VERSION = local({ 'if-version': { value: 'N', help: 'only if the key has this version' } })

export const get: Command = {
  usage: 'COLLECTION KEY',
  summary: 'Prints the value of a key as JSON. Exits with 5 if it has none.',
  flags: CLIENT,
  run: (settings, io) => withStore(settings, async store => {
    const [collection, key] = settings.args as [string, string]
    const value = await store.collection(collection).text.get(key)
    if (value === undefined) return missing(collection, key)
    await outputOf(settings, io).json(value)
    return EXIT.OK
  })
}

export const set: Command = {
  usage: 'COLLECTION KEY [VALUE]',
  summary: 'Sets a key to VALUE, which is JSON, and prints the new version. Reads it from standard input if it is missing.',
  flags: {
    ...local({
      text: { help: 'VALUE is a plain string, not JSON' },
      ttl: { value: 'SECONDS', help: 'until the key expires' },
      'if-absent': { help: 'only if the key has no value' }
    }),
    ...VERSION,
    ...CLIENT
  },
  run: async (settings, io) => {
    const [collection, key, given] = settings.args as [string, string, string?]
    const source = given ?? await text(io.stdin)
    const value = settings.isOn('text') ? JSON.stringify(source) : checked(source)
    return await withStore(settings, async store => {
      const options = {
        ttl: settings.number('ttl'), ifAbsent: settings.isOn('if-absent'), ifVersion: settings.number('if-version')
      }
      const version = await store.collection(collection).text.set(key, value, options)
      await outputOf(settings, io).value({ version })
      return EXIT.OK
    })
  }
}

export const del: Command = {
  usage: 'COLLECTION KEY',
  summary: 'Deletes a key. Exits with 5 if it has no value.',
  flags: { ...VERSION, ...CLIENT },
  run: settings => withStore(settings, async store => {
    const [collection, key] = settings.args as [string, string]
    const isDeleted = await store.collection(collection).del(key, { ifVersion: settings.number('if-version') })
    return isDeleted ? EXIT.OK : missing(collection, key)
  })
}

export const keys: Command = {
  usage: 'COLLECTION',
  summary: 'Lists the keys of a collection with version, size and expiry.',
  flags: {
    ...local({
      prefix: { value: 'TEXT', help: 'only keys with this prefix' },
      limit: { value: 'N', help: 'at most N keys' }
    }),
    ...CLIENT
  },
  run: (settings, io) => withStore(settings, async store => {
    const [name] = settings.args as [string]
    const prefix = settings.get('prefix')
    const output = outputOf(settings, io)
    let left = settings.number('limit') ?? Infinity
    let cursor: string | undefined
    do {
      const page = await store.collection(name).page({ prefix, cursor, limit: KEYS_PER_PAGE })
      await output.rows(page.keys.slice(0, left).map(({ key, version, bytes, expiresAt }) => {
        return { key, version, bytes, expiresAt }
      }))
      left -= page.keys.length
      cursor = page.cursor
    } while (cursor !== undefined && left > 0)
    return EXIT.OK
  })
}

function outputOf (settings: Settings, io: Io): Output {
  return new Output(io.stdout, settings.isOn('json'))
}

function missing (collection: string, key: string): never {
  throw new Exit(EXIT.NO_VALUE, `${JSON.stringify(key)} in collection ${JSON.stringify(collection)} has no value`)
}

/** JSON is stored as it was written. */
function checked (source: string): string {
  try {
    JSON.parse(source)
    return source.trim()
  } catch (error) {
    throw invalid(`VALUE is not JSON: ${(error as Error).message}; use --text for a plain string`)
  }
}

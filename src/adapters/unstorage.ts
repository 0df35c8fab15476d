// unstorage: one storage for all workers.
import type { Collection } from '../api/collection.js'
import { pickStore, type PickOptions, type Store } from '../api/store.js'
import type { EventStream } from '../api/event-stream.js'
import type { WatchEvent } from '../api/watch.js'
import type { StoreError } from '../core/errors.js'
import { checkSeconds, secondsOf } from './duration.js'

export interface UnstorageOptions extends PickOptions {
  /** The collection of the items, a name of at most 1024 bytes. Default 'unstorage'. */
  collection?: string | undefined
  /** Seconds, at least 0.001, after which items that are set without a `ttl` expire. Default: none. */
  ttl?: number | undefined
}

/** The interface of unstorage's drivers. */
export interface UnstorageDriver {
  name: string
  flags: { ttl: boolean }
  options: UnstorageOptions
  getInstance (): Store
  hasItem (key: string): Promise<boolean>
  getItem (key: string): Promise<any>
  setItem (key: string, value: string, options?: { ttl?: number }): Promise<void>
  removeItem (key: string): Promise<void>
  getMeta (key: string): Promise<{ ttl?: number } | null>
  getKeys (base?: string): Promise<string[]>
  clear (base?: string): Promise<void>
  watch (changed: Changed): Promise<() => Promise<void>>
  dispose (): Promise<void>
}

/**
 * `createStorage({ driver: unstorageDriver() })`. Calls reject with the store's error while it cannot be reached.
 * Throws STORE_OPTION_INVALID, STORE_NAME_INVALID.
 */
export function unstorageDriver (options: UnstorageOptions = {}): UnstorageDriver {
  const { collection = 'unstorage', ttl: defaultTtl, ...where } = options
  if (defaultTtl !== undefined) checkSeconds(defaultTtl, 'ttl')
  const store = pickStore(where)
  const isOwn = where.store === undefined && !store.isShared
  const items: Collection<string> = store.collection(collection)
  return {
    name: 'strong-store',
    flags: { ttl: true },
    options,
    getInstance: () => store,
    hasItem: key => items.has(key),
    getItem: async key => await items.get(key) ?? null,
    setItem: async (key, value, { ttl = defaultTtl } = {}) => {
      await items.set(key, value, ttl === undefined || ttl === 0 ? {} : { ttl: secondsOf(ttl * 1000) })
    },
    removeItem: async key => { await items.del(key) },
    getMeta: async key => {
      const entry = await items.entry(key)
      if (entry === undefined) return null
      return entry.expiresAt === undefined ? {} : { ttl: (entry.expiresAt.getTime() - Date.now()) / 1000 }
    },
    getKeys: async (base = '') => {
      const keys = []
      for await (const key of items.keys({ prefix: base })) keys.push(key)
      return keys
    },
    clear: (base = '') => items.clear(base === '' ? {} : { prefix: base }),
    watch: async changed => {
      const events = items.watch({ values: false })
      await follow(events, changed)
      return async () => { await events.return() }
    },
    dispose: async () => { if (isOwn) await store.close() }
  }
}

type Changed = (event: 'update' | 'remove', key: string) => void

/** Resolves once changes are reported; existing items do not count as changes. */
async function follow (events: EventStream<WatchEvent<undefined>>, changed: Changed): Promise<void> {
  for (;;) {
    const { value } = await events.next()
    if (value === undefined) return
    if (value.type === 'ready') break
  }
  report(events, changed).catch((error: StoreError) => {
    if (error.code !== 'STORE_CLOSED') process.emitWarning(error)
  })
}

async function report (events: EventStream<WatchEvent<undefined>>, changed: Changed): Promise<void> {
  for await (const event of events) {
    if (event.type === 'set') changed('update', event.key)
    else if ('key' in event) changed('remove', event.key)
  }
}

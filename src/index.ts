// The public API.
export { default, strongStore, type StrongStoreOptions } from './web/fastify.js'
export {
  collection, type CallbackCollection, type CallbackKeyLock, type ErrorCallback, type LockCallback, type ValueCallback
} from './api/callback.js'
export type { AdminOptions } from '../routes/admin.js'
export type { AdminTokenOptions } from '../routes/tokens.js'
export { Store, createStore, type PickOptions } from './api/store.js'
export type { StoreOptions } from './api/store-options.js'
export type { ExportOptions } from './api/export.js'
export type { ImportFailure, ImportOptions, ImportResult, ImportSource } from './api/import.js'
export type { CollectionStats, LockInfo, LockQueue, StoreStats } from './core/stats.js'
export { Collection } from './api/collection.js'
export type {
  AcquireOptions, CollectionOptions, CollectionPage, CollectionPageOptions, CountOptions, DelOptions, Entry,
  EntryOptions, GetOrSetOptions, KeyPage, LocksOptions, PageOptions, PrefixOptions, SetOptions, TouchOptions,
  TtlOptions, UpdateOptions, WaitOptions
} from './api/options.js'
export type { Updater } from './api/update.js'
export type { WatchEvent, WatchOptions } from './api/watch.js'
export type { EventStream } from './api/event-stream.js'
export {
  Channel, type ChannelEvent, type PublishOptions, type SubscribeOptions, type Subscription
} from './api/channel.js'
export { KeyLock, type LockSetOptions, type ReleaseOptions } from './api/key-lock.js'
export type { RedisStoreOptions } from './engines/redis/options.js'
export { ERRORS, StoreError, type StoreErrorCode } from './core/errors.js'

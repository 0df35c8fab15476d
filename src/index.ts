// The public face.
export { default, strongStore, type StrongStoreOptions } from './plugin.js'
export { collection, type CallbackCollection, type CallbackKeyLock, type ErrorCallback, type LockCallback, type ValueCallback } from './callback.js'
export { Store, createStore, type PickOptions, type StoreOptions } from './store.js'
export type { CollectionStats, LockInfo, LockQueue, StoreStats } from './stats.js'
export { Collection } from './collection.js'
export type {
  AcquireOptions, CollectionOptions, CountOptions, DelOptions, Entry, EntryOptions, KeyPage, LocksOptions, PageOptions, PrefixOptions, SetOptions,
  TtlOptions, UpdateOptions, WaitOptions
} from './options.js'
export { KeyLock, type LockSetOptions, type ReleaseOptions } from './key-lock.js'
export type { RedisStoreOptions } from './redis/options.js'
export { ERRORS, StoreError, type StoreErrorCode } from './errors.js'

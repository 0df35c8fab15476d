// The public face.
export { default, strongStore, type StrongStoreOptions } from './plugin.js'
export { collection, type CallbackCollection, type CallbackKeyLock, type ErrorCallback, type LockCallback, type ValueCallback } from './callback.js'
export {
  Store, createStore, type CollectionStats, type LockInfo, type PickOptions, type StoreOptions, type StoreStats
} from './store.js'
export { Collection } from './collection.js'
export type { AcquireOptions, CollectionOptions, CountOptions, DelOptions, Entry, PrefixOptions, SetOptions, TtlOptions, UpdateOptions, WaitOptions } from './options.js'
export { KeyLock, type LockSetOptions, type ReleaseOptions } from './key-lock.js'
export { ERRORS, StoreError, type StoreErrorCode } from './errors.js'

// Notifies observers, such as watches, of changes in a keyspace. Without observers, a Context has no Observers object,
// so a write costs only one more branch.
import type { Entry } from './entry.js'
import type { Owner } from './entry-pool.js'

/**
 * Why a key changes. 'touch' only sets its end; 'cleared' is the removal of a key that an earlier clear has deleted.
 */
export type ChangeKind = 'set' | 'touch' | 'del' | 'expired' | 'evicted' | 'cleared'

/**
 * Called synchronously in the middle of an operation: an observer may read from the keyspace but must not change it.
 */
export interface Observer {
  /**
   * Called right before a change. The context's revision is that of the change; a touch has no revision of its own.
   * `entry`: the current value, if any.
   */
  changing (collection: Owner, key: string, kind: ChangeKind, entry: Entry | undefined): void
  /**
   * Called right before all keys with a prefix are deleted, at the context's revision, except for the locked keys.
   * 'cleared' changes follow, unless a whole collection is cleared and no observer needs its keys.
   */
  clearing (collection: Owner, prefix: string, locked: Iterable<string>): void
  /** Whether a clear of the collection must report each removed key. */
  needsKeys (collection: string): boolean
}

export class Observers implements Observer {
  constructor (readonly all: readonly Observer[]) {}

  changing (collection: Owner, key: string, kind: ChangeKind, entry: Entry | undefined): void {
    for (const observer of this.all) observer.changing(collection, key, kind, entry)
  }

  clearing (collection: Owner, prefix: string, locked: Iterable<string>): void {
    const keys = [...locked]
    for (const observer of this.all) observer.clearing(collection, prefix, keys)
  }

  needsKeys (collection: string): boolean {
    return this.all.some(observer => observer.needsKeys(collection))
  }
}

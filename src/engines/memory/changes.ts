// The seam for parts that follow what changes in a keyspace: watches, for example. Without observers a Context has
// none of this, so that a write costs one branch more.

/** Why a key changes. 'touch' sets its end only; 'cleared' is the removal of a key that a clear has deleted before. */
export type ChangeKind = 'set' | 'touch' | 'del' | 'expired' | 'evicted' | 'cleared'

/** Called synchronously, in the middle of an operation: an observer must not call the keyspace other than to read. */
export interface Observer {
  /**
   * Right before a change. The context's revision is already that of the change, which for a touch is none of its own.
   * `before`: the revision of the value so far, 0 where there is none.
   */
  changing (collection: string, key: string, kind: ChangeKind, before: number): void
  /**
   * Right before all keys with a prefix are deleted, at the context's revision, except for the locked keys. These are
   * followed by 'cleared' changes, unless it is a clear of a whole collection whose keys nobody needs.
   */
  clearing (collection: string, prefix: string, locked: Iterable<string>): void
  /** Whether the keys that a clear of the collection removes have to be named. */
  needsKeys (collection: string): boolean
}

export class Observers implements Observer {
  constructor (readonly all: readonly Observer[]) {}

  changing (collection: string, key: string, kind: ChangeKind, before: number): void {
    for (const observer of this.all) observer.changing(collection, key, kind, before)
  }

  clearing (collection: string, prefix: string, locked: Iterable<string>): void {
    const keys = [...locked]
    for (const observer of this.all) observer.clearing(collection, prefix, keys)
  }

  needsKeys (collection: string): boolean {
    return this.all.some(observer => observer.needsKeys(collection))
  }
}

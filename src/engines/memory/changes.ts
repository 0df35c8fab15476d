// The seam for parts that follow what changes in a keyspace: persistence, for example.

/** Why a key changes. 'touch' sets its end only; 'cleared' is the removal of a key that a clear has deleted before. */
export type ChangeKind = 'set' | 'touch' | 'del' | 'expired' | 'evicted' | 'cleared'

/** Called synchronously, in the middle of an operation: an observer must not call the keyspace other than to read. */
export interface Observer {
  /** Right before a change. The context's revision is already that of the change, except for 'expired' and 'evicted'. */
  changing (collection: string, key: string, kind: ChangeKind): void
  /**
   * Right before all keys with a prefix are deleted, at the context's revision, except for the locked keys. These are followed by
   * 'cleared' changes, if at all: a clear of a whole collection may drop its keys without naming them.
   */
  clearing (collection: string, prefix: string, locked: Iterable<string>): void
}

/** Adds an observer to what is there. */
export function observe (present: Observer | undefined, added: Observer): Observer {
  if (present === undefined) return added
  return {
    changing (collection, key, kind) {
      present.changing(collection, key, kind)
      added.changing(collection, key, kind)
    },
    clearing (collection, prefix, locked) {
      const keys = [...locked]
      present.clearing(collection, prefix, keys)
      added.clearing(collection, prefix, keys)
    }
  }
}

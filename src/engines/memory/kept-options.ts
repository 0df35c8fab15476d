// The options of a collection, as saved on disk.
import type { Bounds } from './bounds.js'
import { UNBOUNDED } from './bounds.js'
import type { Keyspace } from './keyspace.js'
import { seal, unseal } from './sealed-record.js'

type Options = Omit<Bounds, 'goneBefore'>

const NAMES = [
  'idle', 'maxKeys', 'maxBytes', 'evict', 'keep', 'durable', 'near'
] as const satisfies ReadonlyArray<keyof Options>

/** The options of a collection that differ from the defaults; undefined if none does. */
export function optionsOf (collection: string, bounds: Bounds): Buffer | undefined {
  const changed = NAMES.filter(name => bounds[name] !== UNBOUNDED[name])
  if (changed.length === 0) return undefined
  return seal(collection, Object.fromEntries(changed.map(name => [name, bounds[name]])))
}

/** Throws a DamageError. */
export function restoreOptions (keyspace: Keyspace, collection: string, kept: Buffer): void {
  const options = unseal(collection, kept) as Partial<Options>
  const { idle, maxKeys, maxBytes, evict, keep, durable, near } = { ...UNBOUNDED, ...options }
  keyspace.collection(collection).configure({ idle, maxKeys, maxBytes, evict, keep, durable, near })
}

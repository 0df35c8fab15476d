// The names of a store's keys in Redis. The part in braces determines the slot of a key in a Redis Cluster.

/** In a cluster, collections are spread over this number of slots, each with an index of its collections. */
const SHARDS = 256

/** A lone surrogate, which no collection name has: the prefix of a channel's name in place of a collection's. */
const CHANNEL = '\ud800'

/** The name of a channel among the collections. */
export function placeOf (channel: string): string {
  return CHANNEL + channel
}

export class KeyNames {
  /** The sorted sets of the bases of all collections, scored by the time at which each is due for a visit. */
  readonly indexes: string[]
  readonly #prefix: string
  readonly #isCluster: boolean

  constructor (prefix: string, isCluster: boolean) {
    this.#prefix = prefix
    this.#isCluster = isCluster
    this.indexes = isCluster
      ? Array.from(
        { length: SHARDS }, (_, shard) => `${prefix}:{${shard}}:due`
      )
      : [`${prefix}:index:due`]
  }

  /**
   * The prefix of all keys of a collection. The scripts derive the index from it: see setBase in collection.ts.
   */
  base (collection: string): string {
    if (collection.startsWith(CHANNEL)) return this.#channelBase(collection.slice(CHANNEL.length))
    return this.#isCluster
      ? `${this.#prefix}:{${shardOf(collection)}}:${collection}`
      : `${this.#prefix}:{c:${collection}}`
  }

  #channelBase (name: string): string {
    return this.#isCluster ? `${this.#prefix}:{${shardOf(name)}}m:${name}` : `${this.#prefix}:{m:${name}}`
  }

  /** The collection with this base. */
  collection (base: string): string {
    return this.#isCluster
      ? base.slice(
        base.indexOf('}', this.#prefix.length) + 2
      )
      : base.slice(this.#prefix.length + 4, -1)
  }
}

/** FNV-1a over UTF-16 code units. */
function shardOf (name: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193)
  return (hash >>> 0) % SHARDS
}

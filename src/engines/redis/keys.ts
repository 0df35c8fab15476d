// The names of a store's keys in Redis. What stands in braces chooses the slot of a key in a Redis Cluster.

/** Of a cluster: collections are spread over so many slots, each of which has an index of those that live there. */
const SHARDS = 256

/** Half of a surrogate pair, which no name has: in front of a channel's name where a collection's is expected. */
const CHANNEL = '\ud800'

/** What a channel goes by among the collections. */
export function placeOf (channel: string): string {
  return CHANNEL + channel
}

export class KeyNames {
  /** The sorted sets that have the bases of all collections, by the time at which each should be looked at. */
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
   * What the names of all keys of a collection begin with. The scripts find the index by it: see setBase in
   * collection.ts.
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

  /** The collection that has this base. */
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

// What a store in Redis is told.
import { checkName, milliseconds, onlyKnown } from '../../core/validation.js'
import { StoreError } from '../../core/errors.js'
import { parse } from './url.js'

const KNOWN = ['url', 'maxValueBytes', 'connectTimeout', 'prefix', 'life', 'cluster', 'client'] as const
const MAX_LIFE = 3_600_000

export interface RedisStoreOptions {
  /** What the names of all keys and channels in Redis begin with, so that several stores can share one: 1024 bytes at most. Default 'strong-store'. */
  prefix?: string | undefined
  /**
   * Seconds without a sign of life after which a process has lost its locks, and after which a process takes a server
   * that does not answer for lost: 1 to 3600, default 10.
   */
  life?: number | undefined
  /** For a Redis Cluster: true where the url names one of its nodes, or nodes to begin with. Default false. */
  cluster?: boolean | Array<{ host: string, port: number }> | undefined
  /** Options of ioredis: `path`, `sentinels` and `name`, `tls`, … (for a cluster its `redisOptions`; `natMap` is seen to as well). */
  client?: object | undefined
}

export interface Target extends Pick<RedisStoreOptions, 'cluster' | 'client'> {
  url: string
  /** Milliseconds. */
  connectTimeout: number
}

export interface Place extends RedisStoreOptions, Target {
  maxValueBytes?: number | undefined
}

/** What holds, defaults included. */
export interface Settled {
  maxValueBytes: number
  prefix: string
  /** Milliseconds. */
  life: number
  target: Target
}

/** STORE_OPTION_INVALID. */
export function settle (place: Place): Settled {
  onlyKnown(place, KNOWN)
  const { maxValueBytes = 2 ** 20, prefix = 'strong-store', life = 10, ...target } = place
  parse(place.url)
  checkName(prefix, 'STORE_OPTION_INVALID')
  if (/[{}]/.test(prefix)) throw new StoreError('STORE_OPTION_INVALID', 'the prefix must have no braces, which choose the slot of a key')
  const lifeMs = milliseconds(life, 'life', 1)
  if (lifeMs > MAX_LIFE) throw new StoreError('STORE_OPTION_INVALID', `life can be ${MAX_LIFE / 1000} at most`)
  return { maxValueBytes, prefix, life: lifeMs, target }
}

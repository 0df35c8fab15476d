// The options of createStore, and the engine that they select.
import type { Engine } from '../core/engine.js'
import { StoreError } from '../core/errors.js'
import { MIN_SECONDS, milliseconds, onlyKnown, shown, wholeNumber } from '../core/validation.js'
import { httpEngine } from '../engines/http/engine.js'
import type { HttpStoreOptions } from '../engines/http/options.js'
import { MemoryEngine } from '../engines/memory/engine.js'
import { Keyspace } from '../engines/memory/keyspace.js'
import { redisEngine } from '../engines/redis/engine.js'
import type { RedisStoreOptions } from '../engines/redis/options.js'
import { clusterEngine } from '../engines/socket/engine.js'
import { unixEngine } from '../engines/socket/unix.js'
import { dataOf } from './data-options.js'

export interface StoreOptions {
  /**
   * Where the keys are. 'cluster:', the default, is the cluster's primary process, or this process without a cluster:
   * one store per process, shared by all callers. A worker thread uses the store of its process, a child process of a
   * worker that of the worker. 'unix:/run/app/store.sock' is a store in a process of its own, started by
   * `strong-store serve`; on Windows the path stands for a named pipe. 'memory:' is a new store in this process for
   * each call. 'redis://host:6379/0', or 'rediss:' for TLS, is a Redis or Valkey server, shared by all machines that
   * use it. 'http://host:port/_store/v1', or https, is a store that is served by an admin API: one store per URL and
   * token. Default: the environment variable STRONG_STORE_URL, else 'cluster:'.
   */
  url?: string | undefined
  /**
   * Maximum size of a value, in bytes of JSON text: 1 to 33554432, default 1048576. For 'cluster:' it is set in the
   * primary, for 'unix:' by `strong-store serve`.
   */
  maxValueBytes?: number | undefined
  /**
   * The folder in which the keys are saved, so that they survive a restart. Set it in the process that has the store,
   * for 'cluster:' and 'memory:'. It is created if it is missing. Calls wait until the data is loaded. Requires the
   * package lmdb. Default: none, the keys are in memory only.
   */
  data?: string | undefined
  /** With `data`: maximum delay of writes to disk, in seconds, 0.01 to 60. Default 0.25. */
  flush?: number | undefined
  /**
   * How many bytes of values this process may keep to answer reads by itself, in collections with `near`. Of a
   * process, not a store: the latest setting applies. Without effect where `near` has none. Default 33554432.
   */
  nearBytes?: number | undefined
  /**
   * Token of the admin API, for 'http:' and 'https:'. Default: the environment variable STRONG_STORE_TOKEN, else none.
   */
  token?: string | undefined
  /**
   * Seconds to wait for the primary or a server before calls fail with STORE_UNREACHABLE, and for `close` to deliver
   * unconfirmed writes; at least 0.001. A store that has been silent for as long, and for at least a second, while
   * calls were pending or locks held counts as lost: calls fail with STORE_DISCONNECTED, the signals of locks abort.
   * In Redis, `life` says when. Default 10.
   */
  connectTimeout?: number | undefined
  /** The `timeout` of calls made without one, in seconds: see WaitOptions. Default: none. */
  timeout?: number | undefined
  /** The `lease` of locks acquired without one, in seconds: see AcquireOptions. Default: none. */
  lease?: number | undefined
  /** Options for a store in Redis. */
  redis?: RedisStoreOptions | undefined
  /** Options for the connection to an admin API, beyond its URL and token. */
  http?: HttpStoreOptions | undefined
}

const OPTIONS = [
  'url', 'maxValueBytes', 'nearBytes', 'data', 'flush', 'token', 'connectTimeout', 'timeout', 'lease', 'redis', 'http'
] as const
const MAX_VALUE_BYTES = 32 * 2 ** 20

/** STORE_OPTION_INVALID. `timeout` and `lease` have been taken out. */
export function engineOf (options: StoreOptions): Engine {
  onlyKnown(options, OPTIONS)
  const { nearBytes } = options
  if (nearBytes !== undefined) wholeNumber(nearBytes, 'nearBytes')
  const engine = engineAt(options)
  if (nearBytes !== undefined) engine.setNearBytes?.(nearBytes)
  return engine
}

function engineAt (options: StoreOptions): Engine {
  if (options.url !== undefined && typeof options.url !== 'string') {
    throw new StoreError('STORE_OPTION_INVALID', `url must be a string, got ${shown(options.url)}`)
  }
  const {
    url = process.env.STRONG_STORE_URL || 'cluster:', maxValueBytes, token = process.env.STRONG_STORE_TOKEN,
    connectTimeout = 10, redis, http
  } = options
  const data = dataOf(url, options)
  if (maxValueBytes !== undefined && wholeNumber(maxValueBytes, 'maxValueBytes', 1) > MAX_VALUE_BYTES) {
    throw new StoreError('STORE_OPTION_INVALID', `maxValueBytes must be at most ${MAX_VALUE_BYTES}`)
  }
  const timeout = milliseconds(connectTimeout, 'connectTimeout', MIN_SECONDS)
  if (/^rediss?:/.test(url)) return redisEngine({ url, maxValueBytes, connectTimeout: timeout, ...redis })
  switch (url) {
    case 'cluster:': return clusterEngine({ maxValueBytes, data, connectTimeout: timeout })
    case 'memory:': return new MemoryEngine(new Keyspace(maxValueBytes === undefined ? {} : { maxValueBytes }), data)
  }
  if (!/^(?:https?|unix):/.test(url)) {
    throw new StoreError('STORE_OPTION_INVALID', `invalid url ${JSON.stringify(url)}: expected 'cluster:', 'unix:', 'memory:', 'redis:', 'rediss:', 'http:' or 'https:'`)
  }
  if (maxValueBytes !== undefined) {
    throw new StoreError('STORE_OPTION_INVALID', 'maxValueBytes is set by the store at the URL')
  }
  if (url.startsWith('unix:')) return unixEngine({ url, connectTimeout: timeout })
  return httpEngine({ url, token, connectTimeout: timeout }, http)
}

// What a store in Redis is told.

export interface RedisStoreOptions {
  /** What the names of all keys and channels in Redis begin with, so that several stores can share one. Default 'strong-store'. */
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

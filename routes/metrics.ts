// Metrics for Prometheus. The store counts them, so one worker can report for all.
import type * as PromClient from '@platformatic/prom-client'
import { StoreError } from '../src/core/errors.js'
import { WAITS, type CollectionStats, type StoreStats } from '../src/core/stats.js'
import type { FastifyRequest } from 'fastify'
import type { Store } from '../src/api/store.js'
import type { Admin } from './app.js'
import type { RouteConfig } from './auth.js'
import { FAILURES, PrometheusText } from './schemas.js'
import { collectionsFor, statsFor } from './scope.js'

/** Number of collections with their own metrics, and number of collections from which they are selected. */
const MAX_LABELS = 100
const MAX_EXAMINED = 1000
const COLLECTIONS_PER_PAGE = 250

export function metricsRoute ({ app, store }: Admin): void {
  app.get('/metrics', {
    config: { isScoped: true } satisfies RouteConfig,
    schema: {
      operationId: 'readMetrics',
      summary: 'Show metrics of the whole store, for Prometheus',
      description: 'Requires the package @platformatic/prom-client; without it the response is 400.',
      tags: ['health'],
      response: {
        200: { description: 'Prometheus text', content: { 'text/plain': { schema: PrometheusText } } }, ...FAILURES
      }
    }
  }, async (request, reply) => {
    const { Registry } = await client()
    const registry = new Registry()
    for (const metric of [...metricsOf(await statsFor(request, store)), ...labelled(await largest(request, store))]) {
      // The registry calls `get` for the values, so no metric objects have to be kept up to date.
      registry.registerMetric(
        { name: metric.name, get: async () => metric } as unknown as Parameters<typeof registry.registerMetric>[0]
      )
    }
    reply.type(registry.contentType).header('cache-control', 'no-store')
    return await registry.metrics()
  })
}

async function client (): Promise<typeof PromClient.default> {
  try {
    const module = await import('@platformatic/prom-client')
    return module.default
  } catch (cause) {
    throw new StoreError(
      'STORE_OPTION_INVALID',
      'metrics require the package @platformatic/prom-client: npm install @platformatic/prom-client', { cause }
    )
  }
}

interface Value { value: number, metricName?: string, labels?: Record<string, string | number> }
interface Metric {
  name: string, help: string, type: 'counter' | 'gauge' | 'histogram', aggregator: 'sum', values: Value[]
}

function metricsOf (stats: StoreStats): Metric[] {
  const metric = (
    type: Metric['type'], name: string, help: string, ...values: Array<Value | number | undefined>
  ): Metric => ({
    name: `strong_store_${name}`,
    help,
    type,
    aggregator: 'sum',
    values: values.filter(value => value !== undefined).map(value => typeof value === 'number' ? { value } : value)
  })
  // On Redis these sums can fall, since collections are removed with their counters: Prometheus counters must not.
  const { reads, writes, expired, evicted }: Partial<StoreStats> = stats.calls === undefined ? {} : stats
  return [
    metric('gauge', 'collections', 'Collections', stats.collections),
    metric('gauge', 'keys', 'Keys with a value', stats.keys),
    metric('gauge', 'bytes', 'Bytes of names and values', stats.bytes),
    metric('gauge', 'locks', 'Locked keys', stats.locks),
    metric('gauge', 'waiters', 'Calls waiting for a locked key', stats.waiters),
    metric('counter', 'reads_total', 'Reads of keys', reads),
    metric('counter', 'writes_total', 'Changes of keys', writes),
    metric('counter', 'expired_total', 'Expired keys', expired),
    metric('counter', 'evicted_total', 'Evicted keys', evicted),
    metric('gauge', 'processes', 'Processes that share the store', stats.processes),
    metric('gauge', 'uptime_seconds', 'Uptime of the process of the store, in seconds', stats.uptime),
    metric('counter', 'calls_total', 'Calls on single keys, by operation and outcome', ...calls(stats)),
    metric('gauge', 'data_lag_seconds', 'Age of the oldest change that is not on disk', stats.data?.lag),
    metric('counter', 'data_errors_total', 'Failed writes to disk', stats.data?.errors),
    metric('gauge', 'data_bytes', 'Size of the log on disk', stats.data?.bytes),
    metric('counter', 'near_hits_total', 'Reads answered by near caches, as last reported', stats.near?.hits),
    metric('gauge', 'near_copies', 'Copies of values in near caches', stats.near?.copies),
    metric('counter', 'near_revocations_total', 'Revoked copies', stats.near?.revocations),
    metric('counter', 'near_waits_total', 'Changes that waited for revocations', stats.near?.waits),
    metric('counter', 'near_wait_seconds_total', 'How long they waited, in seconds', stats.near?.waited),
    metric(
      'histogram', 'call_duration_seconds',
      'Time from the arrival of a call at the store to its reply, spent waiting for a lock', ...durations(stats)
    ),
    metric(
      'gauge', 'event_loop_delay_seconds',
      'Event loop delay of the process of the store in the last full minute, in seconds', ...delays(stats)
    )
  ].filter(({ values }) => values.length > 0)
}

/** The largest of the first collections. Both numbers are bounded, to bound the time series and the work. */
async function largest (request: FastifyRequest, store: Store): Promise<CollectionStats[]> {
  const found: CollectionStats[] = []
  let cursor: string | undefined
  do {
    const page = await collectionsFor(request, store, { cursor, limit: COLLECTIONS_PER_PAGE })
    found.push(...page.collections)
    cursor = page.cursor
  } while (cursor !== undefined && found.length < MAX_EXAMINED)
  return found.sort((a, b) => b.bytes - a.bytes).slice(0, MAX_LABELS)
}

/** Metrics with the label `collection`. A counter restarts after an empty collection was removed. */
function labelled (collections: CollectionStats[]): Metric[] {
  if (collections.length === 0) return []
  const metric = (type: Metric['type'], name: string, help: string, field: keyof CollectionStats): Metric => ({
    name: `strong_store_collection_${name}`,
    help: `${help}, by collection: the ${MAX_LABELS} largest`,
    type,
    aggregator: 'sum',
    values: collections.map(stats => {
      return { labels: { collection: stats.name.replaceAll('\0', '\ufffd') }, value: stats[field] as number }
    })
  })
  return [
    metric('gauge', 'keys', 'Keys with a value', 'keys'),
    metric('gauge', 'bytes', 'Bytes of names and values', 'bytes'),
    metric('gauge', 'locks', 'Locked keys', 'locks'),
    metric('gauge', 'waiters', 'Calls waiting for a locked key', 'waiters'),
    metric('counter', 'reads_total', 'Reads of keys', 'reads'),
    metric('counter', 'writes_total', 'Changes of keys', 'writes'),
    metric('counter', 'expired_total', 'Expired keys', 'expired'),
    metric('counter', 'evicted_total', 'Evicted keys', 'evicted')
  ]
}

function calls ({ calls = {}, refused = {} }: StoreStats): Value[] {
  return Object.entries(calls).flatMap(([op, count]) => {
    const failures = Object.entries(refused[op as keyof typeof refused] ?? {})
    const failed = failures.reduce((sum, [, count]) => sum + count, 0)
    return [['ok', count - failed] as const, ...failures].map(
      ([outcome, value]) => ({ labels: { op, outcome }, value })
    )
  })
}

/** Calls that did not wait were answered immediately, so they count in every bucket. */
function durations ({ calls, waits, waited }: StoreStats): Value[] {
  if (calls === undefined || waits === undefined || waited === undefined) return []
  const all = Object.values(calls).reduce((sum, count) => sum + count, 0)
  let sum = all - waits.reduce((sum, count) => sum + count, 0)
  const metricName = 'strong_store_call_duration_seconds'
  return [
    ...waits.map((count, i) => {
      sum += count
      return { metricName: `${metricName}_bucket`, labels: { le: WAITS[i] ?? '+Inf' }, value: sum }
    }),
    { metricName: `${metricName}_sum`, value: waited },
    { metricName: `${metricName}_count`, value: all }
  ]
}

function delays ({ loopDelay }: StoreStats): Value[] {
  return Object.entries(loopDelay ?? {}).map(([kind, value]) => ({ labels: { kind }, value: value / 1000 }))
}

// What changes, as server-sent events (WHATWG HTML, section 9.2) and by long polling.
import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from '@sinclair/typebox'
import type { Collection } from '../src/api/collection.js'
import type { EventStream } from '../src/api/event-stream.js'
import type { WatchEvent } from '../src/api/watch.js'
import { offAbort, onAbort } from '../src/core/abort-signals.js'
import { Timer } from '../src/core/timer.js'
import { onClose } from '../src/web/transport.js'
import type { Admin } from './app.js'
import { Problem } from './problems.js'
import { CollectionParams, EventHeaders, EventsQuery, FAILURES, TOO_OLD } from './schemas.js'

export const EVENT_STREAM = 'text/event-stream'
/** Milliseconds after which a browser connects again. */
const RETRY_MS = 2000
/** A stream is never silent for longer. */
const HEARTBEAT_MS = 15_000

export const EVENTS_RESPONSE = {
  description: 'Events as they come',
  headers: { 'X-Accel-Buffering': { type: 'string', maxLength: 2, description: 'Tells nginx to pass events on as they come' } },
  content: { [EVENT_STREAM]: { schema: Type.String({ maxLength: 2 ** 31 - 1, description: 'Events set, del, expired, evicted, ready and reset, each with JSON as its data' }) } }
}

export function eventRoutes (admin: Admin): void {
  admin.app.get('/collections/:collection/events', {
    exposeHeadRoute: false,
    schema: {
      operationId: 'watchCollection',
      summary: 'Follow the changes of a collection',
      description: 'Server-sent events: first `set` for each key that is there, then `ready`, then each change, as the latest state of its key. ' +
        '`reset` says that something was missed: what is there follows. A client that connects again with `Last-Event-ID` gets what it has missed.',
      tags: ['collections'],
      params: CollectionParams,
      headers: EventHeaders,
      querystring: EventsQuery,
      response: { 200: EVENTS_RESPONSE, ...FAILURES, ...TOO_OLD }
    }
  }, async (request, reply) => {
    const { prefix, ...query } = request.query
    return await sendEvents(admin, request, reply, { prefix }, query)
  })
}

/**
 * Answers with the events of a watch. Its first one is waited for, so that what is wrong can still be said with a
 * status.
 */
export async function sendEvents (
  { store, stopping }: Admin, request: FastifyRequest, reply: FastifyReply,
  target: { key: string } | { prefix: string | undefined },
  { values = false, since }: { values?: boolean | undefined, since?: number | undefined }
): Promise<Readable> {
  const { collection } = request.params as { collection: string }
  const lastEventId = request.headers['last-event-id']?.toString() ?? ''
  const after = since ?? (/^\d{1,16}$/.test(lastEventId) ? Number(lastEventId) : undefined)
  const events = store.collection(collection).text.watch({ ...target, values, since: after })
  const end = (): void => { events.return().catch(() => {}) }
  onAbort(stopping, end)
  onClose(reply.raw, () => {
    offAbort(stopping, end)
    end()
  })
  if (stopping.aborted) end()
  const { value: first } = await events.next()
  if (first?.type === 'reset' && since !== undefined) {
    end()
    throw new Problem('ADMIN_TOO_OLD')
  }
  reply.type(EVENT_STREAM).headers({ 'cache-control': 'no-cache, no-transform', 'x-accel-buffering': 'no' })
  return new EventBody(events, first)
}

/** Takes events only as fast as its client reads them. */
class EventBody extends Readable {
  readonly #events: EventStream<WatchEvent<string>>
  readonly #heartbeat: NodeJS.Timeout
  #first: string | undefined
  #isPulling = false

  constructor (events: EventStream<WatchEvent<string>>, first: WatchEvent<string> | undefined) {
    super()
    this.#events = events
    this.#first = `retry: ${RETRY_MS}\n\n${first === undefined ? '' : format(first)}`
    this.#heartbeat = setInterval(() => { if (this.#isPulling) this.push(':\n\n') }, HEARTBEAT_MS).unref()
  }

  override _read (): void {
    if (this.#isPulling) return
    this.#isPulling = true
    this.#pull().catch(() => { this.push(null) }) // the client will find out what is wrong when it connects again
  }

  override _destroy (error: Error | null, callback: (error: Error | null) => void): void {
    clearInterval(this.#heartbeat)
    this.#events.return().then(() => { callback(error) }, callback)
  }

  async #pull (): Promise<void> {
    const first = this.#first
    this.#first = undefined
    if (first !== undefined) this.push(first)
    for (;;) {
      const { value } = await this.#events.next()
      if (this.destroyed) return
      if (value === undefined) {
        clearInterval(this.#heartbeat)
        this.push(null)
        return
      }
      if (this.push(format(value))) continue
      this.#isPulling = false
      return
    }
  }
}

/** A value is carried as it is stored; line breaks in it would end the line. */
function format (event: WatchEvent<string | undefined>): string {
  if (event.type === 'reset') return 'event: reset\ndata: {}\n\n'
  const id = event.revision === undefined ? '' : `id: ${event.revision}\n`
  return `event: ${event.type}\n${id}data: ${dataOf(event).replaceAll(/\r\n|\r|\n/g, '\ndata: ')}\n\n`
}

function dataOf (event: Exclude<WatchEvent<string | undefined>, { type: 'reset' }>): string {
  if (event.type === 'ready') return JSON.stringify({ revision: event.revision })
  const json = JSON.stringify({ key: event.key, version: event.version })
  return event.type === 'set' && event.value !== undefined ? `${json.slice(0, -1)},"value":${event.value}}` : json
}

/** Resolves when the key has another version than those that are known, with true, or when the time is over. */
export async function hasChanged (
  { stopping }: Admin, reply: FastifyReply, collection: Collection<string>, key: string,
  isKnown: (version: number) => boolean, seconds: number
): Promise<boolean> {
  const events = collection.watch({ key, values: false })
  const end = (): void => { events.return().catch(() => {}) }
  const timer = new Timer()
  timer.start(seconds * 1000, end)
  onAbort(stopping, end)
  onClose(reply.raw, end)
  if (stopping.aborted) end()
  try {
    let hasValue = false
    for await (const event of events) {
      if (event.type === 'reset') continue
      if (event.type === 'ready') {
        if (!hasValue) return true
      } else if (event.type !== 'set' || !isKnown(event.version)) return true
      else hasValue = true
    }
    return false
  } finally {
    timer.stop()
    offAbort(stopping, end)
  }
}

// Changes of a collection as server-sent events (WHATWG HTML, section 9.2), and of a key by long polling.
import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from '@sinclair/typebox'
import type { Collection } from '../src/api/collection.js'
import type { EventStream } from '../src/api/event-stream.js'
import type { WatchEvent } from '../src/api/watch.js'
import { offAbort, onAbort } from '../src/core/abort-signals.js'
import { Timer } from '../src/core/timer.js'
import { cutOff, onClose } from '../src/web/transport.js'
import type { Admin } from './app.js'
import { isStillAllowed } from './auth.js'
import { Problem } from './problems.js'
import { CollectionParams, FAILURES, TOO_OLD, name, strict, whole } from './schemas.js'

export const EVENT_STREAM = 'text/event-stream'
/** Delay in milliseconds before a browser reconnects. */
const RETRY_MS = 2000
/** Interval of comment lines on a stream without events, and of checks whether the token is still valid. */
const HEARTBEAT_MS = 15_000
/** How long a client that does not read its stream may delay the shutdown of the app. */
const STOP_MS = 1000

export const EVENTS_RESPONSE = {
  description: 'Events as they happen',
  headers: { 'X-Accel-Buffering': { type: 'string', maxLength: 2, description: 'Turns off buffering in nginx' } },
  content: {
    [EVENT_STREAM]: {
      schema: Type.String({
        maxLength: 2 ** 31 - 1, description: 'Events set, del, expired, evicted, ready and reset, with JSON data'
      })
    }
  }
}

const EventsQuery = Type.Object({
  prefix: Type.Optional(name('Only keys with this prefix')),
  values: Type.Optional(Type.Boolean({ description: 'Include values' })),
  since: Type.Optional(whole('Id of the event after which to continue; 410 if that is too long ago'))
}, strict)
const EventHeaders = Type.Object({
  'last-event-id': Type.Optional(Type.String({
    maxLength: 16_384, // Node.js rejects longer headers
    description: 'Sent by a client that reconnects: like since, but with a reset instead of 410, or if it is not an id'
  }))
})

export function eventRoutes (admin: Admin): void {
  admin.app.get('/collections/:collection/events', {
    exposeHeadRoute: false,
    schema: {
      operationId: 'watchCollection',
      summary: 'Follow the changes of a collection',
      description: 'Server-sent events: `set` for each existing key, then `ready`, then each change as the latest ' +
        'state of its key. `reset` means that events were lost; all existing keys follow. A client that reconnects ' +
        'with `Last-Event-ID` gets the events it has missed.',
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

/** Sends the events of a watch. Waits for the first one, so that an error can still be answered with a status. */
export async function sendEvents (
  { store, stopping }: Admin, request: FastifyRequest, reply: FastifyReply,
  target: { key: string } | { prefix: string | undefined },
  { values = false, since }: { values?: boolean | undefined, since?: number | undefined }
): Promise<Readable> {
  const { collection } = request.params as { collection: string }
  const after = since ?? revisionOf(request.headers['last-event-id']?.toString())
  const events = store.collection(collection).text.watch({ ...target, values, since: after })
  const end = (): void => { events.return().catch(() => {}) }
  const timer = new Timer()
  timer.setReferenced(false)
  const stop = (): void => {
    end()
    timer.start(STOP_MS, () => { cutOff(reply.raw) })
  }
  onAbort(stopping, stop)
  onClose(reply.raw, () => {
    offAbort(stopping, stop)
    timer.stop()
    end()
  })
  if (stopping.aborted) stop()
  const { value: first } = await events.next()
  if (first?.type === 'reset' && since !== undefined) {
    end()
    throw new Problem('ADMIN_TOO_OLD')
  }
  // Otherwise the idle connection of a stream that ends with the app would stay open and delay its shutdown.
  if (request.raw.httpVersionMajor === 1) reply.header('connection', 'close')
  reply.type(EVENT_STREAM).headers({ 'cache-control': 'no-cache, no-transform', 'x-accel-buffering': 'no' })
  return new EventBody(events, first, () => {
    isStillAllowed(request).then(isAllowed => { if (!isAllowed) end() }, () => {})
  })
}

/** The revision of an event's id. That of any other text is 0, which no store knows: the client gets a reset. */
function revisionOf (id = ''): number | undefined {
  if (id === '') return undefined
  const revision = /^\d+$/.test(id) ? Number(id) : 0
  return Number.isSafeInteger(revision) ? revision : 0
}

/** Pulls events only as fast as the client reads them. */
class EventBody extends Readable {
  readonly #events: EventStream<WatchEvent<string>>
  readonly #heartbeat: NodeJS.Timeout
  #first: string | undefined
  #isPulling = false

  /** `check` is called with each heartbeat. */
  constructor (events: EventStream<WatchEvent<string>>, first: WatchEvent<string> | undefined, check: () => void) {
    super()
    this.#events = events
    this.#first = `retry: ${RETRY_MS}\n\n${first === undefined ? '' : format(first)}`
    this.#heartbeat = setInterval(() => {
      if (this.#isPulling) this.push(':\n\n')
      check()
    }, HEARTBEAT_MS).unref()
  }

  override _read (): void {
    if (this.#isPulling) return
    this.#isPulling = true
    this.#pull().catch(() => { this.push(null) }) // the client gets the error when it reconnects
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

/** Values are sent as they are stored, except for line breaks, which would end the line. */
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

/** Resolves with true when the version of the key is not one of `known`, otherwise when the time is over. */
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

// Subscriber connections of a cluster that are lost and replaced.
import { EventEmitter } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import t from 'tap'
import { Subscriber } from '../../../src/engines/redis/subscriber.js'

/** A connection that replies to `subscribe` when the test says so. */
class Line extends EventEmitter {
  status = 'ready'
  accept = (): void => {}
  reject = (_error: Error): void => {}

  subscribe (): Promise<void> {
    return new Promise((resolve, reject) => {
      this.accept = resolve
      this.reject = reject
    })
  }

  disconnect (): void {
    this.status = 'end'
    this.emit('close')
    this.reject(new Error('Connection is closed.'))
  }
}

function start (): { lines: Line[], events: string[], subscriber: Subscriber } {
  const lines = [new Line(), new Line(), new Line()]
  const events: string[] = []
  const rest = lines.values()
  const open = async (): Promise<Redis> => {
    const { value } = rest.next()
    if (value === undefined) throw new Error('no node responds')
    return value as unknown as Redis
  }
  const first = rest.next().value as unknown as Redis
  const subscriber = new Subscriber(first, open, 'channel', { answer () {}, lost () {}, marked () {} }, {
    watch: (connection, closed) => { connection.on('close', closed) },
    missed: () => { events.push('missed') },
    ended: error => { events.push(error.message) }
  })
  return { lines, events, subscriber }
}

/** Subscribes, and loses the first connection. */
async function startWithoutFirst (): Promise<ReturnType<typeof start>> {
  const started = start()
  const subscribed = started.subscriber.subscribe()
  started.lines[0]!.accept()
  await subscribed
  started.lines[0]!.disconnect()
  await turn()
  return started
}

t.test('a connection that is lost while it replaces another is replaced, too', async t => {
  const { lines, events, subscriber } = await startWithoutFirst()
  lines[1]!.disconnect()
  await turn()
  t.strictSame(events, [])
  lines[2]!.accept()
  await turn()
  t.strictSame(events, ['missed'])
  t.equal(subscriber.connection, lines[2] as unknown)
  lines[2]!.disconnect()
  await turn()
  t.strictSame(events, ['missed', 'no node responds'])
})

t.test('a subscription that a node refuses ends the connection', async t => {
  const { lines, events } = await startWithoutFirst()
  lines[1]!.reject(new Error('NOPERM'))
  await turn()
  t.strictSame(events, ['NOPERM'])
})

t.test('a first connection that is lost is not replaced', async t => {
  const { lines, events, subscriber } = start()
  const subscribed = subscriber.subscribe()
  lines[0]!.disconnect()
  await t.rejects(subscribed, { message: 'Connection is closed.' })
  t.strictSame(events, [])
})

// Live state in a browser: `npm run example:live`, then open the page in two windows. Whichever worker a window talks
// to, it shows each vote at once.
import Fastify from 'fastify'
import strongStore, { type WatchEvent } from 'strong-store'
import { Readable } from 'node:stream'
import { serve } from './workers.js'

const PAGE = `<!doctype html>
<title>Votes</title>
<p><button onclick="vote('tea')">tea</button> <button onclick="vote('coffee')">coffee</button>
<pre id="votes"></pre>
<script>
  const vote = name => fetch('/votes/' + name, { method: 'POST' })
  let votes = {}
  const events = new EventSource('/events')
  const show = () => { document.getElementById('votes').textContent = JSON.stringify(votes, null, 2) }
  events.addEventListener('set', ({ data }) => { const { key, value } = JSON.parse(data); votes[key] = value; show() })
  events.addEventListener('reset', () => { votes = {}; show() })
</script>`

/** Events as a browser reads them. What follows `id` comes back as Last-Event-ID when it connects again. */
async function * lines (events: AsyncIterable<WatchEvent<number>>): AsyncGenerator<string> {
  for await (const event of events) {
    const id = 'revision' in event && event.revision !== undefined ? `id: ${event.revision}\n` : ''
    yield `event: ${event.type}\n${id}data: ${JSON.stringify(event)}\n\n`
  }
}

await serve(url => `Open ${url} in two windows.`, async port => {
  const app = Fastify()
  await app.register(strongStore)
  app.get('/', (_, reply) => reply.type('text/html').send(PAGE))
  app.post<{ Params: { name: string } }>('/votes/:name', async req => {
    return await app.store.collection<number>('votes').increment(req.params.name)
  })
  app.get('/events', (req, reply) => {
    const since = Number(req.headers['last-event-id'] ?? NaN)
    // The watch ends with its request.
    const events = req.store.collection<number>('votes').watch(Number.isSafeInteger(since) ? { since } : {})
    return reply.type('text/event-stream').header('cache-control', 'no-cache').send(Readable.from(lines(events)))
  })
  await app.listen({ port })
  return app.server
})

// `npm run example:cache`: what one worker has worked out serves all, with cache-manager or Keyv alone.
import { setTimeout as delay } from 'node:timers/promises'
import { createCache } from 'cache-manager'
import express from 'express'
import { Keyv } from 'keyv'
import { KeyvStore } from 'strong-store/keyv'
import { serve } from './workers.js'

const advice = (url: string): string => `${url} has four workers, and one cache. The first answer takes a second, the others do not:

  time curl ${url}/reports/2026
  time curl ${url}/reports/2026
  curl -X PUT '${url}/notes/tea?text=green'
  curl ${url}/notes/tea`

await serve(advice, async port => {
  // With a lease, one worker at a time computes what is missing, the others wait for it.
  const reports = createCache({
    stores: [new Keyv({ store: new KeyvStore({ lease: 30 }), namespace: 'reports' })], ttl: 60_000
  })
  const notes = new Keyv<string>({ store: new KeyvStore(), namespace: 'notes' })
  const app = express()

  app.get('/reports/:year', async (req, res) => {
    const report = await reports.wrap(req.params.year, async () => {
      await delay(1000) // hard work
      return { year: req.params.year, by: process.pid }
    })
    res.json({ worker: process.pid, report })
  })

  app.put('/notes/:name', async (req, res) => {
    await notes.set(req.params.name, String(req.query.text), 60_000)
    res.status(204).end()
  })

  app.get('/notes/:name', async (req, res) => {
    const note = await notes.get(req.params.name)
    res.status(note === undefined ? 404 : 200).json({ worker: process.pid, note })
  })

  return app.listen(port)
})

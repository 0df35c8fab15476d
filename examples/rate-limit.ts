// `npm run example:rate-limit`: limits that hold for all workers together, with @fastify/rate-limit.
import rateLimit from '@fastify/rate-limit'
import Fastify from 'fastify'
import { fastifyRateLimitStore } from 'strong-store/rate-limit'
import { serve } from './workers.js'

const advice = (url: string): string => `${url} has four workers, which let 10 requests a minute pass between them, and 3 logins:

  for i in $(seq 12); do curl -s -o /dev/null -w '%{http_code} ' ${url}/; done; echo
  for i in $(seq 5); do curl -s -o /dev/null -w '%{http_code} ' -X POST ${url}/login; done; echo
  curl -i ${url}/`

await serve(advice, async port => {
  const app = Fastify()
  await app.register(rateLimit, { max: 10, timeWindow: '1 minute', store: fastifyRateLimitStore() })
  app.get('/', async () => ({ worker: process.pid }))
  app.post('/login', { config: { rateLimit: { max: 3, timeWindow: '1 minute' } } }, async () => ({
    worker: process.pid
  }))
  await app.listen({ port })
  return app.server
})

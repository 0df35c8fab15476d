// `npm run example:http-cache`: undici's HTTP cache shared by all workers, and notes in unstorage.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { UndiciCacheStore } from 'strong-store/undici'
import { unstorageDriver } from 'strong-store/unstorage'
import { Agent, interceptors, request } from 'undici'
import { createStorage } from 'unstorage'
import { serve } from './workers.js'

const advice = (url: string): string => `${url} has four workers. They ask their clock once in ten seconds, whichever of them you ask:

  curl ${url}/time
  curl -X PUT '${url}/notes/tea?text=green'
  curl ${url}/notes/tea`

await serve(advice, async port => {
  const dispatcher = new Agent().compose(interceptors.cache({ store: new UndiciCacheStore() }))
  const storage = createStorage<string>({ driver: unstorageDriver() })

  const answer = async ({ method, url, headers }: IncomingMessage, response: ServerResponse): Promise<object> => {
    const { pathname, searchParams, origin } = new URL(url!, `http://${headers.host}`)
    if (pathname === '/clock') { // as if it were another server
      response.setHeader('cache-control', 'max-age=10')
      return { time: new Date().toISOString(), by: process.pid }
    }
    if (pathname === '/time') {
      const { body } = await request(`${origin}/clock`, { dispatcher })
      return { worker: process.pid, ...await body.json() as object }
    }
    if (method === 'PUT') await storage.setItem(pathname, searchParams.get('text') ?? '', { ttl: 60 }) // seconds
    return { worker: process.pid, note: await storage.getItem(pathname) }
  }

  return createServer((request, response) => {
    answer(request, response).then(
      body => { response.end(JSON.stringify(body)) },
      (error: Error) => { response.writeHead(500).end(error.message) }
    )
  }).listen(port)
})

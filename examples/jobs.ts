// `npm run example:jobs`: a job that every worker schedules, with node-cron, and one of them runs.
import { createServer } from 'node:http'
import cron from 'node-cron'
import { createStore, type StoreError } from 'strong-store'
import { serve } from './workers.js'

interface Run { due: string, worker: number }

const advice = (url: string): string => `${url} has four workers. Each second one of them counts to ten, and no other:

  curl ${url}/runs`

const store = createStore()

/** Runs a job in the first process that asks for this one of its times. */
async function once (job: string, due: string, run: () => Promise<void>): Promise<void> {
  try {
    await store.collection('jobs').set(`${job} ${due}`, process.pid, { ifAbsent: true, ttl: 3600 })
  } catch (error) {
    if ((error as StoreError).code === 'STORE_EXISTS') return
    throw error
  }
  await run()
}

await serve(advice, async port => {
  const runs = store.collection<Run[]>('runs')
  cron.schedule('* * * * * *', async ({ date }) => {
    const due = date.toISOString().slice(0, 19)
    await once('count', due, async () => {
      await runs.update('count', (all = []) => [...all, { due, worker: process.pid }].slice(-10))
    })
  })
  return createServer((_request, response) => {
    runs.get('count').then(
      all => { response.setHeader('content-type', 'application/json').end(JSON.stringify(all ?? [])) },
      (error: StoreError) => { response.writeHead(error.statusCode).end() }
    )
  }).listen(port)
})

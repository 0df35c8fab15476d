// HTTP requests from wrk to a site that one or more workers serve.
import cluster from 'node:cluster'
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { sites, type Listening, type Site, type SiteName } from '../rivals/sites.js'
import { cpuOf, ownCpu } from '../rivals/rival.js'
import { finish } from '../workers.js'

export interface HttpOptions {
  site: SiteName
  workers: number
  connections: number
  seconds: number
}

/** Requests per worker until V8 has compiled the hot code. */
const WARM_UP = 8000
/** Maximum duration of the warm-up, in seconds. */
const MAX_WARM_UP = 30

const { site, workers, connections, seconds } = JSON.parse(process.argv[2]!) as HttpOptions
const { serve, listen, path, token }: Site = sites[site]

if (cluster.isPrimary) await finish(await primary())
else {
  process.on('SIGTERM', () => process.exit())
  process.send!(await listen(process.env.BENCH_ADDRESS!))
}

async function primary (): Promise<object> {
  const environment = { BENCH_ADDRESS: await serve() }
  const listening = await Promise.all(Array.from({ length: workers }, () => forkWorker(environment)))
  const cpu = (): number => listening.reduce((sum, { pid }) => sum + cpuOf(pid), 0)
  const url = `http://127.0.0.1:${listening[0]!.port}${path}` // all workers share one port
  const authorization = `Bearer ${token ?? ''}`
  const { status, headers } = await fetch(url, { headers: { authorization } })
  if (status !== 200) throw new Error(`${url} responds with ${status}`)
  const cookie = headers.getSetCookie().map(cookie => cookie.split(';')[0]).join('; ')
  const sent = [
    ...(cookie === '' ? [] : [`Cookie: ${cookie}`]),
    ...(token === undefined ? [] : [`Authorization: ${authorization}`])
  ]
  await warmUp(url, sent)
  const used = cpu()
  const own = ownCpu()
  const found = await wrk(url, sent, seconds)
  const { requests } = found
  return { ...found, microseconds: (cpu() - used) / requests, storeMicroseconds: (ownCpu() - own) / requests }
}

async function warmUp (url: string, headers: string[]): Promise<void> {
  let requests = 0
  for (let second = 0; second < MAX_WARM_UP && requests < WARM_UP * workers; second++) {
    requests += (await wrk(url, headers, 1)).requests
  }
}

function forkWorker (environment: object): Promise<Listening> {
  return new Promise((resolve, reject) => {
    const worker = cluster.fork(environment)
    worker.on('message', (message: Partial<Listening>) => {
      if (message.port !== undefined) resolve(message as Listening)
    })
    worker.on('exit', code => { reject(new Error(`the worker has ended with ${code}`)) })
  })
}

type Figures = Record<'requests' | 'requestsPerSecond' | 'p50' | 'p99', number>

async function wrk (url: string, headers: string[], seconds: number): Promise<Figures> {
  const args = [
    '-t1', `-c${connections}`, `-d${Math.ceil(seconds)}s`, '--latency', ...headers.flatMap(header => ['-H', header]),
    url
  ]
  const { stdout } = await promisify(execFile)('wrk', args).catch((error: NodeJS.ErrnoException) => {
    throw error.code === 'ENOENT' ? new Error('missing: wrk (apt-get install wrk)') : error
  })
  if (/Non-2xx/.test(stdout)) throw new Error(`not all requests were answered: ${stdout}`)
  return {
    requests: Number(stdout.match(/(\d+) requests in/)![1]),
    requestsPerSecond: Number(stdout.match(/Requests\/sec:\s+([\d.]+)/)![1]),
    p50: milliseconds(stdout.match(/50%\s+(\S+)/)![1]!),
    p99: milliseconds(stdout.match(/99%\s+(\S+)/)![1]!)
  }
}

function milliseconds (text: string): number {
  const factor = text.endsWith('us') ? 0.001 : text.endsWith('ms') ? 1 : 1000
  return parseFloat(text) * factor
}

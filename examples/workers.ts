// What the examples have in common: four workers that serve one port, and a clean end of all of them on Ctrl-C.
import cluster from 'node:cluster'
import { once } from 'node:events'
import type { Server } from 'node:http'

const WORKERS = Number(process.env.WORKERS ?? 4)

/** Runs `listen` in each worker, then prints what `advice` says about the address. */
export async function serve (
  advice: (url: string) => string, listen: (port: number) => Promise<Server>
): Promise<void> {
  if (cluster.isPrimary) await primary(advice)
  else stopWith(await listen(Number(process.env.PORT ?? 3000)))
}

async function primary (advice: (url: string) => string): Promise<void> {
  let isStopping = false
  const stop = (): void => {
    if (isStopping) return
    isStopping = true
    for (const worker of Object.values(cluster.workers!)) worker!.process.kill('SIGTERM')
  }
  process.on('SIGINT', stop)
  process.on('SIGTERM', stop)
  cluster.on('exit', () => { if (!isStopping) cluster.fork() })
  const ports = await Promise.all(Array.from({ length: WORKERS }, async () => {
    const [{ port }] = await once(cluster.fork(), 'listening') as [{ port: number }]
    return port
  }))
  console.log(`\n${advice(`http://localhost:${ports[0]}`)}\n\nCtrl-C stops it.`)
}

function stopWith (server: Server): void {
  const stop = (): void => {
    server.close(() => process.exit())
    server.closeAllConnections()
  }
  process.once('SIGINT', stop)
  process.once('SIGTERM', stop)
}

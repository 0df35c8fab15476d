// A program that forks itself: the primary has all its workers start at the same moment and gathers what they found.
import cluster from 'node:cluster'

interface Message {
  type: 'ready' | 'done'
  data?: unknown
}

/** In the primary: forks `count` workers and resolves, once all are ready, with what sets them off. */
export async function forkWorkers<T> (count: number, environment: object = {}): Promise<() => Promise<T[]>> {
  const forks = Array.from({ length: count }, () => cluster.fork(environment))
  const all = (type: Message['type']): Promise<unknown[]> =>
    Promise.all(
      forks.map(
        fork =>
          new Promise((resolve, reject) => {
            fork.on('message', (message: Partial<Message>) => {
              if (message.type === type) resolve(message.data)
            })
            fork.on('exit', code => {
              reject(new Error(`a worker has ended with ${code}`))
            })
          })
      )
    )
  const done = all('done')
  done.catch(() => {})
  await all('ready')
  return async () => {
    for (const fork of forks) fork.send('go')
    return await done as T[]
  }
}

/** In a worker: says that it is ready, and does `work` when it is told to. */
export function workWhenTold (work: () => Promise<unknown>): void {
  process.on('message', message => {
    if (message === 'go') work().then(data => process.send!({ type: 'done', data }), error => { throw error })
  })
  process.on('SIGTERM', () => process.exit())
  process.send!({ type: 'ready' })
}

/** Prints the row's result and ends workers and primary, in the order that lets --cpu-prof write all profiles. */
export async function finish (figures: object): Promise<void> {
  process.stdout.write(JSON.stringify(figures) + '\n')
  await Promise.all(Object.values(cluster.workers ?? {}).map(fork => new Promise(resolve => {
    fork!.removeAllListeners('exit').on('exit', resolve)
    fork!.process.kill('SIGTERM')
  })))
  process.exit()
}

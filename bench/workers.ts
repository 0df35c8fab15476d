// For programs that fork themselves: the primary starts the work of all its workers at once and gathers their results.
import cluster from 'node:cluster'

interface Message {
  type: 'ready' | 'done'
  data?: unknown
}

/** In the primary: forks `count` workers and, once all are ready, resolves with the function that starts their work. */
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

/** In a worker: reports that it is ready, and runs `work` when the primary starts it. */
export function workWhenTold (work: () => Promise<unknown>): void {
  process.on('message', message => {
    if (message === 'go') work().then(data => process.send!({ type: 'done', data }), error => { throw error })
  })
  process.on('SIGTERM', () => process.exit())
  process.send!({ type: 'ready' })
}

/** Prints the row's figures, and ends the workers before the primary, so that --cpu-prof can write all profiles. */
export async function finish (figures: object): Promise<void> {
  process.stdout.write(JSON.stringify(figures) + '\n')
  await Promise.all(Object.values(cluster.workers ?? {}).map(fork => new Promise(resolve => {
    fork!.removeAllListeners('exit').on('exit', resolve)
    fork!.process.kill('SIGTERM')
  })))
  process.exit()
}

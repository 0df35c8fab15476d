// Forks real workers. The test itself is the primary.
import cluster, { type Worker } from 'node:cluster'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Owner } from '../faults/attack.js'
import type { Tools } from '../fixtures/worker.js'

export interface TestWorker {
  readonly pid: number
  readonly worker: Worker
  /** Resolves with exit code and signal. */
  readonly exited: Promise<[number | null, string | null]>
  /**
   * Runs a function in the worker. It is sent as text, so it must not use its closure. Rejects with {code, message}.
   */
  run<T, A extends unknown[]> (fn: (tools: Tools, ...args: A) => T, ...args: A): Promise<Awaited<T>>
  kill (signal: NodeJS.Signals): void
}

interface Message {
  id: number
  value?: unknown
  error?: { code: string, message: string }
}

/** Forks a worker. It is killed at the end of the test if it is still running. */
export async function fork (t: Owner): Promise<TestWorker> {
  // Without the loaders of the test runner, which double the startup time, and source maps, which add a tenth.
  cluster.setupPrimary({
    exec: fileURLToPath(new URL('../fixtures/worker.js', import.meta.url)),
    execArgv: [],
    silent: true
  })
  const worker = cluster.fork({ NODE_OPTIONS: '' })
  let output = ''
  worker.process.stderr!.on('data', chunk => { output += String(chunk) })
  const calls = new Map<number, { resolve (value: any): void, reject (error: unknown): void }>()
  let ids = 0
  const ready = new Promise((resolve, reject) => { calls.set(0, { resolve, reject }) })
  worker.on('message', ({ id, value, error }: Message) => {
    const call = calls.get(id)
    calls.delete(id)
    if (error === undefined) call?.resolve(value)
    else call?.reject(error)
  })
  const exited = once(worker, 'exit') as Promise<[number | null, string | null]>
  exited.then(([code, signal]) => {
    for (const call of calls.values()) call.reject(new Error(`the worker has exited: ${code ?? signal} ${output}`))
  }, t.threw)
  t.teardown(async () => {
    worker.process.kill('SIGKILL')
    await exited
  })
  await ready
  return {
    pid: worker.process.pid!,
    worker,
    exited,
    run: (fn, ...args) => new Promise((resolve, reject) => {
      calls.set(++ids, { resolve, reject })
      worker.send({ id: ids, code: fn.toString(), args })
    }),
    kill: signal => { worker.process.kill(signal) }
  }
}

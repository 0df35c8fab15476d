// A store in a process of its own, as the target of an attack.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { OPEN_TOKEN } from '../../src/engines/socket/unix.js'
import { createStore, type StoreOptions } from '../../src/index.js'
import { directory, serve, type Serving } from '../support/serve.js'
import type { Owner } from './attack.js'

export interface StoreProcess {
  options: StoreOptions
  address: { path: string, token: string }
  /** Its number of connections, including that of this process. */
  peers (): Promise<number>
  /** Its memory in bytes. */
  memory (): number
  /** Kills it and starts another one at the same path. */
  restart (): Promise<void>
}

export async function serveStore (owner: Owner): Promise<StoreProcess> {
  const args = ['--socket', join(directory(owner), 'socket')]
  let serving: Serving = await serve(owner, args)
  const options = { url: serving.url, connectTimeout: 30 }
  return {
    options,
    address: { path: serving.path, token: OPEN_TOKEN },
    peers: async () => (await createStore(options).stats()).processes! - 1,
    memory: () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${serving.pid}/status`, 'utf8'))?.[1]) * 1024,
    async restart () {
      serving.kill('SIGKILL')
      await serving.exited
      serving = await serve(owner, args)
    }
  }
}

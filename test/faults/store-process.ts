// A store in a separate process, as the target of an attack.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { OPEN_TOKEN } from '../../src/engines/socket/unix.js'
import { createStore, type StoreOptions } from '../../src/index.js'
import { TOKEN } from '../support/admin.js'
import { directory, serve, type Serving } from '../support/serve.js'
import type { Owner } from './attack.js'

export interface StoreProcess {
  options: StoreOptions
  address: { path: string, token: string }
  /** Its number of connections, including that of this process. */
  peers (): Promise<number>
  /** Its memory in bytes. */
  memory (): number
  /**
   * Kills it and starts another one at the same path. With `data`, resolves with the time, in nanoseconds, since which
   * changes may not have been on disk.
   */
  restart (): Promise<number | undefined>
}

/** `hasData`: it saves its keys in a folder. */
export async function serveStore (owner: Owner, hasData = false): Promise<StoreProcess> {
  const folder = directory(owner)
  const args = ['--socket', join(folder, 'socket'), ...hasData ? ['--data', join(folder, 'data')] : []]
  let serving: Serving = await serve(owner, args)
  const options = { url: serving.url, connectTimeout: 30 }
  return {
    options,
    address: { path: serving.path, token: OPEN_TOKEN },
    peers: async () => (await createStore(options).stats()).processes! - 1,
    memory: () => memoryOf(serving.pid),
    async restart () {
      const now = Number(process.hrtime.bigint())
      const { data } = hasData ? await createStore(options).stats() : {}
      serving.kill('SIGKILL')
      await serving.exited
      serving = await serve(owner, args)
      return data && now - data.lag * 1e9
    }
  }
}

/** A store in a separate process, used over its admin API. */
export async function serveOverHttp (owner: Owner): Promise<Pick<StoreProcess, 'options' | 'memory'>> {
  const folder = directory(owner)
  const tokenFile = join(folder, 'token')
  writeFileSync(tokenFile, TOKEN)
  const args = ['--socket', join(folder, 'socket'), '--admin', '127.0.0.1:0', '--token-file', tokenFile]
  const { pid, said } = await serve(owner, args)
  const url = /"admin":"([^"]+)"/.exec(said())![1]!
  return { options: { url, token: TOKEN }, memory: () => memoryOf(pid) }
}

function memoryOf (pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024
}

// The engine of the process that has the keyspace and serves it to other processes.
import type { DataSettings } from '../memory/data.js'
import { MemoryEngine } from '../memory/engine.js'
import type { Keyspace } from '../memory/keyspace.js'
import { SocketServer } from './server.js'

export class ServerEngine extends MemoryEngine {
  override readonly isShared = true
  readonly server: SocketServer

  readonly data: DataSettings | undefined

  /**
   * `token`: the token that clients must send; by default a random one, which only the server's `address` reveals.
   * `data`: where the keyspace is saved; `opened` resolves when it is loaded.
   */
  constructor (
    keyspace: Keyspace, { token, data }: { token?: string | undefined, data?: DataSettings | undefined } = {}
  ) {
    super(keyspace, data)
    this.data = data
    this.server = new SocketServer(keyspace, {}, token)
  }

  /** Answers the requests received so far, then closes. Takes at most `timeout` milliseconds. */
  async stop (timeout: number): Promise<void> {
    await this.server.stop(timeout)
    await this.close()
  }

  override async close (): Promise<void> {
    this.server.close()
    await super.close()
  }
}

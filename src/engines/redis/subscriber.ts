// The Pub/Sub connection of a process: replies to calls that had to wait, and notifications of lost locks. In a cluster
// any node delivers them, so when one is lost, the subscription moves to another.
import type { Redis } from 'ioredis'

export interface PushHandler {
  /** The reply to a call that had to wait. */
  answer (number: number, answer: string): void
  /** A lock was lost. */
  lost (token: string): void
  /** What the node of the mark's collection published before it has been received, or is lost. */
  marked (mark: string): void
}

interface Owner {
  /** Checks the liveness of a new connection, and calls `closed` when it ends. */
  watch (connection: Redis, closed: () => void): void
  /** Messages may have been missed while the subscription moved. */
  missed (): void
  ended (error: Error): void
}

export class Subscriber {
  connection: Redis
  readonly #openAnother: (() => Promise<Redis>) | undefined
  readonly #channel: string
  readonly #handler: PushHandler
  readonly #owner: Owner
  #isEnded = false

  constructor (
    connection: Redis, openAnother: (() => Promise<Redis>) | undefined, channel: string, handler: PushHandler,
    owner: Owner
  ) {
    this.connection = connection
    this.#openAnother = openAnother
    this.#channel = channel
    this.#handler = handler
    this.#owner = owner
  }

  async subscribe (): Promise<void> {
    const { connection } = this
    connection.on('message', (_channel: string, message: string) => {
      const space = message.indexOf(' ')
      const rest = message.slice(space + 1)
      if (message.startsWith('L')) this.#handler.lost(rest)
      else if (message.startsWith('M')) this.#handler.marked(rest)
      else this.#handler.answer(Number(message.slice(0, space)), rest)
    })
    let isSubscribed = false
    this.#owner.watch(connection, () => {
      if (isSubscribed) this.#replace().catch((error: Error) => { this.#owner.ended(error) })
    })
    await connection.subscribe(this.#channel)
    isSubscribed = true
  }

  end (): void {
    this.#isEnded = true
    this.connection.disconnect()
  }

  async #replace (): Promise<void> {
    while (!this.#isEnded) {
      if (this.#openAnother === undefined) throw new Error('the connection was closed')
      const connection = await this.#openAnother()
      this.connection = connection
      if (this.#isEnded) return connection.disconnect()
      try {
        await this.subscribe()
        return this.#owner.missed()
      } catch (error) {
        if (connection.status === 'ready') throw error // otherwise it was lost, too
      }
    }
  }
}

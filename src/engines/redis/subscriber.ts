// The connection on which the server tells what nobody asks for at that moment. In a cluster any node does, so another takes over.
import type { Redis } from 'ioredis'

export interface Told {
  /** The answer to a call that had to wait. */
  answer (number: number, answer: string): void
  /** A lock was lost. */
  lost (token: string): void
}

interface Owner {
  /** Has a connection keep the process alive, or not; `closed` is told of its end. */
  watch (connection: Redis, closed: () => void): void
  /** What was told in the last moments has not arrived. */
  missed (): void
  ended (error: Error): void
}

export class Subscriber {
  connection: Redis
  readonly #openAnother: (() => Promise<Redis>) | undefined
  readonly #channel: string
  readonly #told: Told
  readonly #owner: Owner
  #isEnded = false

  constructor (connection: Redis, openAnother: (() => Promise<Redis>) | undefined, channel: string, told: Told, owner: Owner) {
    this.connection = connection
    this.#openAnother = openAnother
    this.#channel = channel
    this.#told = told
    this.#owner = owner
  }

  async subscribe (): Promise<void> {
    const { connection } = this
    connection.on('message', (_channel: string, message: string) => {
      const space = message.indexOf(' ')
      const rest = message.slice(space + 1)
      if (message.startsWith('L')) this.#told.lost(rest)
      else this.#told.answer(Number(message.slice(0, space)), rest)
    })
    this.#owner.watch(connection, () => { this.#replace().catch((error: Error) => { this.#owner.ended(error) }) })
    await connection.subscribe(this.#channel)
  }

  end (): void {
    this.#isEnded = true
    this.connection.disconnect()
  }

  async #replace (): Promise<void> {
    if (this.#isEnded) return
    if (this.#openAnother === undefined) throw new Error('the connection was closed')
    const connection = await this.#openAnother()
    this.connection = connection
    if (this.#isEnded) {
      connection.disconnect()
      return
    }
    await this.subscribe()
    this.#owner.missed()
  }
}

// Shows the progress of a long transfer on one line of the terminal.

const INTERVAL_MS = 200
const NEWLINE = 10

export class Progress {
  readonly #stream: NodeJS.WriteStream
  readonly #isShown: boolean
  #lines = 0
  #bytes = 0
  #shown = 0

  constructor (stream: NodeJS.WriteStream, isQuiet: boolean) {
    this.#stream = stream
    this.#isShown = stream.isTTY && !isQuiet
  }

  /** What was transferred. */
  add (chunk: string | Buffer): void {
    if (!this.#isShown) return
    const bytes = Buffer.from(chunk)
    this.#bytes += bytes.length
    for (let at = bytes.indexOf(NEWLINE); at !== -1; at = bytes.indexOf(NEWLINE, at + 1)) this.#lines++
    if (performance.now() - this.#shown >= INTERVAL_MS) this.#show('')
  }

  /** Passes on the chunks of a source, and counts them. */
  async * of (source: AsyncIterable<string | Buffer>): AsyncGenerator<string | Buffer> {
    for await (const chunk of source) {
      yield chunk
      this.add(chunk)
    }
  }

  end (): void {
    if (this.#isShown) this.#show('\n')
  }

  #show (end: string): void {
    this.#shown = performance.now()
    const text = `${this.#lines.toLocaleString('en')} lines, ${(this.#bytes / 2 ** 20).toFixed(1)} MiB`
    this.#stream.write(`\r${text}\u001b[K${end}`) // and clears the rest of a longer line
  }
}

// Output of commands: tables on a terminal, JSON lines for other programs.
import { once } from 'node:events'

export type Row = Record<string, unknown>

export class Output {
  readonly #stream: NodeJS.WriteStream
  readonly #isTable: boolean

  constructor (stream: NodeJS.WriteStream, isJson: boolean) {
    this.#stream = stream
    this.#isTable = stream.isTTY && !isJson
    // The reader has closed the pipe, like head.
    stream.on('error', (error: NodeJS.ErrnoException) => { if (error.code === 'EPIPE') process.exit(0) })
  }

  /** Prints one value, indented on a terminal. */
  async value (value: unknown): Promise<void> {
    await this.#write(this.#isTable ? visible(JSON.stringify(value, null, 2)) : JSON.stringify(value))
  }

  /** Prints rows with the same columns. Each page of a list repeats the header. */
  async rows (rows: Row[]): Promise<void> {
    if (rows.length === 0) return
    if (!this.#isTable) {
      await this.#write(rows.map(row => JSON.stringify(row)).join('\n'))
      return
    }
    const columns = Object.keys(rows[0]!)
    const head = columns.map(column => column.toUpperCase())
    const cells = [head, ...rows.map(row => columns.map(column => cellOf(row[column])))]
    const widths = columns.map((_, i) => Math.max(...cells.map(row => row[i]!.length)))
    await this.#write(cells.map(row => row.map((cell, i) => cell.padEnd(widths[i]!)).join('  ').trimEnd()).join('\n'))
  }

  /** One of a series that has no end: an object, or on a terminal its members without their names. */
  async event (type: string, more: Row): Promise<void> {
    if (!this.#isTable) await this.#write(JSON.stringify({ type, ...more }))
    else await this.#write([type, ...Object.values(more).map(cellOf)].join('  '))
  }

  /** Lines of JSON as they are, except on a terminal. */
  async text (lines: string): Promise<void> {
    await this.#write(this.#stream.isTTY ? visible(lines) : lines, '')
  }

  async #write (text: string, end = '\n'): Promise<void> {
    if (!this.#stream.write(text + end)) await once(this.#stream, 'drain')
  }
}

function cellOf (value: unknown): string {
  if (value === undefined || value === null) return '-'
  if (value instanceof Date) return value.toISOString()
  return visible(typeof value === 'string' ? value : JSON.stringify(value)).replaceAll('\n', '\\u000a')
}

// eslint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g

/** Escapes control characters. */
function visible (text: string): string {
  return text.replace(CONTROL, character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

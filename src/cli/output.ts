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
    await this.json(JSON.stringify(value))
  }

  /** The same for a value as JSON text. Parsing it would change numbers with many digits. */
  async json (text: string): Promise<void> {
    await this.#write(this.#isTable ? visible(indented(text)) : onOneLine(text))
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

  /**
   * One of a series that has no end: an object, or on a terminal its members without their names. `value` is JSON text.
   */
  async event (type: string, more: Row, value?: string): Promise<void> {
    const json = JSON.stringify({ type, ...more })
    if (this.#isTable) {
      const cells = Object.values(more).map(cellOf)
      await this.#write([type, ...cells, ...value === undefined ? [] : [visible(onOneLine(value))]].join('  '))
    } else await this.#write(value === undefined ? json : `${json.slice(0, -1)},"value":${onOneLine(value)}}`)
  }

  /** Prints JSON lines unchanged, except on a terminal. */
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

/** JSON text without line breaks, which are not allowed in its strings. */
function onOneLine (text: string): string {
  return text.trim().replaceAll(/[\r\n]+/g, ' ')
}

const TOKENS = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]|[^\s{}[\],:"]+/g

/** JSON text as JSON.stringify indents it, its strings and numbers unchanged. */
function indented (text: string): string {
  let result = ''
  let depth = 0
  let last = ''
  for (const [token] of text.matchAll(TOKENS)) {
    const isEnd = token === '}' || token === ']'
    const isFirst = last === '{' || last === '['
    if (isEnd) depth--
    if (isFirst !== isEnd || last === ',') result += `\n${'  '.repeat(depth)}`
    result += token === ':' ? ': ' : token
    if (token === '{' || token === '[') depth++
    last = token
  }
  return result
}

// eslint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g

/** Escapes control characters. */
function visible (text: string): string {
  return text.replace(CONTROL, character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

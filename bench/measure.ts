// Runs the rows of a comparison in alternation, each in its own process: when the machine slows down, all of them are
// affected.
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

export type Figures = Record<string, number | undefined>

export interface Row {
  name: string
  /** A program in rows/. It gets `options` as JSON and prints Figures as JSON. */
  program: string
  options: object
}

export interface Figure {
  /** One per round. */
  values: number[]
  median: number
  /** Half the range. */
  spread: number
  /** The ratio to the first row. */
  ratio: number
}

export interface Measured {
  name: string
  /** Undefined if the row failed. */
  figures: Record<string, Figure> | undefined
  why?: string
}

const run = promisify(execFile)

export async function measure (rows: Row[], rounds: number): Promise<Measured[]> {
  const samples = rows.map((): Figures[] => [])
  const failures: Array<string | undefined> = []
  for (let round = 0; round < rounds; round++) {
    for (const [i, row] of rows.entries()) {
      if (failures[i] !== undefined) continue
      try {
        samples[i]!.push(await once(row))
      } catch (error) {
        failures[i] = reason(error as Error & { stderr?: string })
      }
    }
  }
  return rows.map(({ name }, i) => {
    const why = failures[i]
    return why === undefined ? { name, figures: summary(samples[i]!, samples[0]!) } : { name, figures: undefined, why }
  })
}

async function once ({ program, options }: Row): Promise<Figures> {
  const file = fileURLToPath(new URL(`./rows/${program}.js`, import.meta.url))
  const { stdout } = await run(process.execPath, ['--expose-gc', file, JSON.stringify(options)], { timeout: 120_000 })
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as Figures
}

function reason ({ stderr, message }: Error & { stderr?: string }): string {
  return stderr?.match(/^\w*Error: (.*)/m)?.[1] ?? message.split('\n')[0]!
}

function summary (samples: Figures[], base: Figures[]): Record<string, Figure> {
  const figures: Record<string, Figure> = {}
  for (const name of Object.keys(samples[0]!)) {
    const values = samples.map(sample => sample[name]!)
    figures[name] = {
      values,
      median: median(values),
      spread: (Math.max(...values) - Math.min(...values)) / 2,
      ratio: ratio(values, base.map(sample => sample[name] ?? NaN))
    }
  }
  return figures
}

/** The median of the ratios of each round: the rows of one round ran under similar conditions. */
export function ratio (values: number[], base: number[]): number {
  return median(values.map((value, round) => value / (base[round] ?? NaN)))
}

function median (values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[sorted.length >> 1]!
}

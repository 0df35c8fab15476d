// Runs rows, each in a process of its own, side by side: round after round, so that a machine that gets slower does so for all.
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

export type Figures = Record<string, number>

export interface Row {
  name: string
  /** A program of rows/, and its arguments; it prints Figures as JSON. */
  program: string
  args: Array<string | number>
}

export interface Measured {
  name: string
  /** Of each figure, its median over the rounds and half the distance between its quartiles. Undefined: it could not be run. */
  figures: Record<string, { median: number, spread: number }> | undefined
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
    return why === undefined ? { name, figures: summary(samples[i]!) } : { name, figures: undefined, why }
  })
}

async function once ({ program, args }: Row): Promise<Figures> {
  const file = fileURLToPath(new URL(`./rows/${program}.js`, import.meta.url))
  const { stdout } = await run(process.execPath, ['--expose-gc', file, ...args.map(String)], { timeout: 120_000 })
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as Figures
}

function reason ({ stderr, message }: Error & { stderr?: string }): string {
  return stderr?.match(/missing: .*/)?.[0] ?? message.split('\n').at(-1)!
}

function summary (samples: Figures[]): NonNullable<Measured['figures']> {
  return Object.fromEntries(Object.keys(samples[0]!).map(figure => {
    const values = samples.map(sample => sample[figure]!).sort((a, b) => a - b)
    const at = (share: number): number => values[Math.round((values.length - 1) * share)]!
    return [figure, { median: at(0.5), spread: (at(0.75) - at(0.25)) / 2 }]
  }))
}

// What is compared with what.
import type { Row } from './measure.js'
import type { Column } from './table.js'

interface Comparison {
  title: string
  columns: Column[]
  rows: Row[]
}

const CALLS: Column[] = [
  { figure: 'callsPerSecond', title: 'calls/s' },
  { figure: 'primaryMicroseconds', title: 'primary CPU µs/call', digits: 2 },
  { figure: 'p50', title: 'p50 ms', digits: 3 },
  { figure: 'p99', title: 'p99 ms', digits: 3 }
]

interface Calls { workers?: number, inFlight?: number, sets?: number, bytes?: number, seconds?: number }

function calls (rivals: string[], { workers = 4, inFlight = 64, sets = 0, bytes = 300, seconds = 2 }: Calls): Comparison {
  const operation = sets === 0 ? 'get' : sets === 100 ? 'set' : `${100 - sets}/${sets} get/set`
  return {
    title: `${operation}, ${bytes} bytes, ${workers} ${workers === 1 ? 'worker' : 'workers'} × ${inFlight} in flight`,
    columns: CALLS,
    rows: rivals.map(name => ({ name, program: 'calls', args: [name, workers, inFlight, sets, bytes, seconds] }))
  }
}

export const subjects: Record<string, Comparison[]> = {
  calls: [
    calls(['strong-store', 'strong-store-cluster', 'echo'], {}),
    calls(['strong-store', 'strong-store-cluster'], { sets: 100 }),
    calls(['strong-store', 'strong-store-cluster', 'echo'], { workers: 1, inFlight: 1 })
  ]
}

// Compares what the tests have covered of src and routes with the floor, from the summary that tap has written.
// Usage: tap --coverage-report=json-summary; node .ci/coverage.mjs
import { readFileSync } from 'node:fs'

/** Percent. The rest is mostly what single machines do not have, and paths that only system errors take. */
const FLOOR = { lines: 96, branches: 94, functions: 95 }

const { total, ...files } = JSON.parse(readFileSync('.tap/report/coverage-summary.json', 'utf8'))
let isBelow = false
for (const [figure, floor] of Object.entries(FLOOR)) {
  const sum = { covered: 0, total: 0 }
  for (const [path, figures] of Object.entries(files)) {
    if (!/\/(?:src|routes)\//.test(path) || path.includes('/dist/cjs/')) continue // one of the two builds
    sum.covered += figures[figure].covered
    sum.total += figures[figure].total
  }
  const percent = 100 * sum.covered / sum.total
  console.log(`coverage of ${figure}: ${percent.toFixed(1)} % (floor: ${floor} %)`)
  if (!(percent >= floor)) isBelow = true
}
process.exitCode = isBelow ? 1 : 0

// npm run bench [-- SUBJECT … [--rounds N] [--seconds N] [--write]]: measures subjects, by default all, and prints a
// table for each comparison; --write keeps them in RESULTS.md. --seconds shortens each row, to see whether it works.
import { writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { parseArgs } from 'node:util'
import { judge } from './goals.js'
import { measure, type Measured } from './measure.js'
import { subjects, type Comparison } from './subjects.js'
import { table } from './table.js'

const { values: { rounds, seconds, write }, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: 'string', default: '3' }, seconds: { type: 'string' }, write: { type: 'boolean', default: false } }
})
const known: Record<string, Record<string, Comparison>> = subjects
const chosen = positionals.length > 0 ? positionals : Object.keys(known)
for (const name of chosen) {
  if (name in known) continue
  console.error(`there is no subject ${name}; there are ${Object.keys(known).join(', ')}`)
  process.exit(2)
}

const pages: string[] = []
const measured: Record<string, Measured[]> = {}
const start = Date.now()
print(`Node.js ${process.versions.node}, ${process.platform} ${process.arch}, ${cpus().length} × ${cpus()[0]!.model}, ` +
  `${Math.round(totalmem() / 2 ** 30)} GiB, ${new Date().toISOString().slice(0, 10)}. ` +
  `${rounds} rounds: median ± half the range (× the first row's).\n`)
for (const name of chosen) {
  print(`## ${name}\n`)
  for (const [id, { title, columns, rows }] of Object.entries(known[name]!)) {
    const shortened = rows.map(row => ({ ...row, options: { ...row.options, seconds: Number(seconds) } }))
    measured[id] = await measure(seconds === undefined ? rows : shortened, Number(rounds))
    print(`### ${title}\n\n${table(columns, measured[id])}`)
  }
}
print(`## goals\n\n${judge(measured)}`)
console.log(`${Math.round((Date.now() - start) / 1000)} s`)
if (write) writeFileSync(new URL('../../bench/RESULTS.md', import.meta.url), '# Results of the last full run\n\n' + pages.join('\n'))

function print (page: string): void {
  pages.push(page)
  console.log(page)
}

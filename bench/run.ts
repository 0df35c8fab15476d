// npm run bench [-- SUBJECT … [--rounds N] [--seconds N] [--write]]: measures the subjects, by default all, and prints
// a table for each comparison, and the goals. --write replaces the sections of these subjects in RESULTS.md. --seconds
// shortens each row, to check that it works.
import { readFileSync, writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { parseArgs } from 'node:util'
import { judge } from './goals.js'
import { measure, type Measured } from './measure.js'
import { subjects, type Comparison } from './subjects.js'
import { table } from './table.js'

const {
  values: { rounds, seconds, write }, positionals
} = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '3' }, seconds: { type: 'string' }, write: { type: 'boolean', default: false }
  }
})
const known: Record<string, Record<string, Comparison>> = subjects
const chosen = positionals.length > 0 ? positionals : Object.keys(known)
for (const name of chosen) {
  if (name in known) continue
  console.error(`there is no subject ${name}; there are ${Object.keys(known).join(', ')}`)
  process.exit(2)
}

const where = `Node.js ${process.versions.node}, ${process.platform} ${process.arch}, ${cpus().length} × ${cpus()[0]!.model}, ` +
  `${Math.round(totalmem() / 2 ** 30)} GiB, ${new Date().toISOString().slice(0, 10)}. ` +
  `${rounds} rounds: median ± half the range (× the first row's).`
const sections = new Map<string, string>()
const start = Date.now()
for (const name of chosen) {
  const lines = [`## ${name}\n`, where + '\n']
  print(lines.join('\n'))
  const measured: Record<string, Measured[]> = {}
  for (const [id, { title, columns, rows }] of Object.entries(known[name]!)) {
    const shortened = rows.map(row => ({ ...row, options: { ...row.options, seconds: Number(seconds) } }))
    measured[id] = await measure(seconds === undefined ? rows : shortened, Number(rounds))
    lines.push(print(`### ${title}\n\n${table(columns, measured[id])}`))
  }
  const goals = judge(measured)
  if (goals !== '') lines.push(print(`### goals of ${name}\n\n${goals}`))
  sections.set(name, lines.join('\n'))
}
console.log(`${Math.round((Date.now() - start) / 1000)} s`)
if (write) {
  const file = new URL('../../bench/RESULTS.md', import.meta.url)
  const kept = readFileSync(file, 'utf8').split(/^(?=## )/m)
  writeFileSync(file, '# Results\n\n' + Object.keys(known).map(name =>
    sections.get(name) ?? kept.find(section => section.startsWith(`## ${name}\n`))?.trimEnd().concat('\n') ?? ''
  ).filter(section => section !== '').join('\n'))
}

function print (page: string): string {
  console.log(page)
  return page
}

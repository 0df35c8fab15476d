// npm run bench [-- SUBJECT … [--rounds N]]: measures the subjects, all by default, and prints a table for each.
import { cpus, totalmem } from 'node:os'
import { parseArgs } from 'node:util'
import { measure } from './measure.js'
import { subjects } from './subjects.js'
import { table } from './table.js'

const { values, positionals } = parseArgs({ allowPositionals: true, options: { rounds: { type: 'string', default: '3' } } })
const chosen = positionals.length > 0 ? positionals : Object.keys(subjects)
for (const name of chosen) {
  if (!(name in subjects)) {
    console.error(`there is no subject ${name}; there are ${Object.keys(subjects).join(', ')}`)
    process.exit(2)
  }
}

const { model } = cpus()[0]!
console.log(`Node.js ${process.versions.node}, ${process.platform} ${process.arch}, ${cpus().length} × ${model}, ${Math.round(totalmem() / 2 ** 30)} GiB; ` +
  `${values.rounds} rounds: median ± half the interquartile range (× the first row)\n`)
for (const name of chosen) {
  for (const { title, columns, rows } of subjects[name]!) {
    console.log(table(title, columns, await measure(rows, Number(values.rounds))))
  }
}

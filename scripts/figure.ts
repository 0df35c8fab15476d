// npm run figure: draws the figure of the README, gets per second compared with the rivals, from bench/RESULTS.md.
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = new URL('../../', import.meta.url)
const FONTS = "system-ui, -apple-system, 'Segoe UI', sans-serif"
const LIGHT = 'text { fill: #24292f } .number { fill: #57606a } .bar { fill: #c8d1da } .ours { fill: #0969da } ' +
  '.spread { stroke: #57606a; stroke-width: 1.5; fill: none }'
const DARK = 'text { fill: #e6edf3 } .number { fill: #9da7b1 } .bar { fill: #484f58 } .ours { fill: #58a6ff } ' +
  '.spread { stroke: #c9d1d9 }'
const ROWS = [
  'strong-store', 'Redis, ioredis', 'Redis, redis', 'strong-store-cluster', 'memored', 'cluster-shared-memory'
]
const HEADING = '### get, 300 bytes, 4 workers × 64 in flight'
const [BEGIN, END] = ['<!-- figure: begin -->', '<!-- figure: end -->']

interface Row { name: string, rate: number, spread: number }

/** The rows of the first table below a heading of RESULTS.md. */
function rowsBelow (results: string, heading: string): Row[] {
  const section = results.slice(results.indexOf(heading) + heading.length).split('\n### ')[0]!
  const found = Array.from(
    section.matchAll(/^\| ([^|]+) \| [^|]*\| ([\d,]+) ±([\d,]+)/gm),
    ([, name, rate, spread]) => {
      return { name: name!, rate: Number(rate!.replaceAll(',', '')), spread: Number(spread!.replaceAll(',', '')) }
    }
  )
  return ROWS.flatMap(name => found.filter(row => row.name === name))
}

function plot (rows: Row[]): string {
  const max = Math.max(...rows.map(({ rate, spread }) => rate + spread))
  const x = (rate: number): number => Math.round(190 + rate / max * 420)
  const bars = rows.map(({ name, rate, spread }, i) => {
    const y = 34 + i * 28
    const [from, to] = [x(Math.max(0, rate - spread)), x(rate + spread)]
    return `  <text x="182" y="${y + 14}" text-anchor="end">${name}</text>
  <rect class="${i === 0 ? 'ours' : 'bar'}" x="190" y="${y}" width="${x(rate) - 190}" height="18" rx="2"/>
  <path class="spread" d="M ${from} ${y + 9} H ${to} M ${from} ${y + 5} v 8 M ${to} ${y + 5} v 8"/>
  <text class="number" x="${to + 8}" y="${y + 14}">${inThousands(rate)}</text>`
  })
  const viewBox = `0 0 720 ${44 + rows.length * 28}`
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="${viewBox}" font-family="${FONTS}" font-size="13">
  <title>Gets per second</title>
  <style>
    ${LIGHT}
    @media (prefers-color-scheme: dark) {
      ${DARK}
    }
  </style>
  <text x="190" y="20" font-weight="600">Gets per second, 4 workers × 64 in flight, 300 bytes</text>
${bars.join('\n')}
</svg>
`
}

function inThousands (rate: number): string {
  return `${Math.round(rate / 1000)} k`
}

/** The caption. */
function caption ([ours, ...others]: Row[]): string {
  const redis = others.find(({ name }) => name === 'Redis, ioredis')!
  const [rate, spread] = [ours!.rate, ours!.spread].map(inThousands)
  return `**${rate} gets per second** (±${spread}) with four workers on two cores, ` +
    `${(ours!.rate / redis.rate).toFixed(1)} times as many as Redis\n` +
    'over a Unix socket with ioredis, in the same run. [All results](bench/RESULTS.md) also show where others are faster.'
}

export function draw (): { svg: string, readme: string } {
  const rows = rowsBelow(readFileSync(new URL('bench/RESULTS.md', root), 'utf8'), HEADING)
  const readme = readFileSync(new URL('README.md', root), 'utf8')
  const image = '<img alt="Gets per second, compared with alternatives" src="docs/gets.svg" width="720">'
  const figure = `${BEGIN}\n${image}\n\n${caption(rows)}\n${END}`
  const [before, after] = [readme.slice(0, readme.indexOf(BEGIN)), readme.slice(readme.indexOf(END) + END.length)]
  return { svg: plot(rows), readme: before + figure + after }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { svg, readme } = draw()
  writeFileSync(new URL('docs/gets.svg', root), svg)
  writeFileSync(new URL('README.md', root), readme)
}

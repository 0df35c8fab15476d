// Figures as a table in Markdown: medians, how far they spread, and the ratio to the first row.
import type { Measured } from './measure.js'

export interface Column {
  figure: string
  title: string
  digits?: number
}

export function table (title: string, columns: Column[], rows: Measured[]): string {
  const base = rows[0]?.figures
  const lines = rows.map(({ name, figures, why }) => figures === undefined
    ? [name, why ?? '', ...columns.slice(1).map(() => '')]
    : [name, ...columns.map(({ figure, digits = 0 }) => {
        const found = figures[figure]
        if (found === undefined) return ''
        const ratio = found.median / (base?.[figure]?.median ?? NaN)
        return `${format(found.median, digits)} ±${format(found.spread, digits)} (×${ratio.toFixed(2)})`
      })])
  return [
    `### ${title}`,
    '',
    `| | ${columns.map(column => column.title).join(' | ')} |`,
    `|---|${columns.map(() => '---:|').join('')}`,
    ...lines.map(line => `| ${line.join(' | ')} |`),
    ''
  ].join('\n')
}

function format (value: number, digits: number): string {
  return value.toLocaleString('en', { maximumFractionDigits: digits, minimumFractionDigits: digits })
}

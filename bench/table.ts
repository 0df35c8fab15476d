// Figures as a table in Markdown: medians, how far they spread, and the ratio to the first row.
import type { Measured } from './measure.js'

export interface Column {
  figure: string
  title: string
  digits?: number
}

export function table (columns: Column[], rows: Measured[]): string {
  const lines = rows.map(({ name, figures, why }) => figures === undefined
    ? [name, why ?? '', ...columns.slice(1).map(() => '')]
    : [name, ...columns.map(({ figure, digits = 0 }) => {
        const found = figures[figure]
        if (found === undefined || !Number.isFinite(found.median)) return '' // not to be had of this row
        const { median, spread, ratio } = found
        return `${format(median, digits)} ±${format(spread, digits)}` + (Number.isFinite(ratio) ? ` (×${format(ratio, 2)})` : '')
      })])
  return markdown(['', ...columns.map(column => column.title)], lines)
}

export function markdown (heads: string[], lines: string[][]): string {
  return [
    `| ${heads.join(' | ')} |`,
    `|---|${heads.slice(1).map(() => '---:|').join('')}`,
    ...lines.map(line => `| ${line.join(' | ')} |`),
    ''
  ].join('\n')
}

function format (value: number, digits: number): string {
  return value.toLocaleString('en', { maximumFractionDigits: digits, minimumFractionDigits: digits })
}

// Formats figures as a Markdown table: medians, spread, and ratios to the first row, with a bar for the first figure.
import type { Measured } from './measure.js'

export interface Column {
  figure: string
  title: string
  digits?: number
}

/** The width of the longest bar, in characters. */
const WIDTH = 12
const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉']

export function table (columns: Column[], rows: Measured[]): string {
  const drawn = columns[0]!.figure
  const most = Math.max(...rows.map(({ figures }) => figures?.[drawn]?.median ?? 0))
  const lines = rows.map(({ name, figures, why }) => figures === undefined
    ? [name, '', why ?? '', ...columns.slice(1).map(() => '')]
    : [name, bar((figures[drawn]?.median ?? 0) / most), ...columns.map(({ figure, digits = 0 }) => {
        const found = figures[figure]
        if (found === undefined || !Number.isFinite(found.median)) return '' // not measured by this row
        const { median, spread, ratio } = found
        return (
          `${format(median, digits)} ±${format(spread, digits)}` +
          (Number.isFinite(ratio) ? ` (×${format(ratio, 2)})` : '')
        )
      })])
  return markdown(['', '', ...columns.map(column => column.title)], lines, 2)
}

function bar (share: number): string {
  const eighths = Math.round(share * WIDTH * 8)
  return '█'.repeat(eighths >> 3) + EIGHTHS[eighths & 7]!
}

/** `left`: number of left-aligned columns. */
export function markdown (heads: string[], lines: string[][], left = 1): string {
  return [
    `| ${heads.join(' | ')} |`,
    `|${heads.map((_, i) => i < left ? '---|' : '---:|').join('')}`,
    ...lines.map(line => `| ${line.join(' | ')} |`),
    ''
  ].join('\n')
}

function format (value: number, digits: number): string {
  return value.toLocaleString('en', { maximumFractionDigits: digits, minimumFractionDigits: digits })
}

// A small plot of values over the last 15 minutes.
import { h, setText, svg } from './dom.js'
import type { Sample } from './sampler.js'

const WIDTH = 300
const HEIGHT = 60
/** The minimum time span of a plot; it grows to 15 minutes. */
const MIN_WINDOW_MS = 60_000

export interface Series {
  /** A field of Sample. */
  value: string
  /** Undefined if it is the only one. */
  label?: string
}

export class Plot {
  readonly element: HTMLElement
  readonly #title: string
  readonly #series: Series[]
  readonly #format: (value: number) => string
  readonly #lines: SVGElement[]
  readonly #now: HTMLElement[]
  readonly #top = h('span', { class: 'top' })
  readonly #picture: SVGElement

  constructor (title: string, series: Series[], format: (value: number) => string) {
    this.#title = title
    this.#series = series
    this.#format = format
    this.#lines = series.map((_, i) => svg('path', { class: `line line${i}` }))
    this.#now = series.map(() => h('b'))
    this.#picture = svg('svg', {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img'
    }, ...this.#lines)
    this.element = h('section', { class: 'plot' },
      h('h2', {}, title),
      h('p', {}, ...series.map(({ label }, i) => (
        h('span', { class: `legend legend${i}` }, label === undefined ? '' : `${label} `, this.#now[i])
      ))),
      h('div', { class: 'picture' }, this.#picture, this.#top))
    this.element.hidden = true
  }

  draw (samples: Sample[]): void {
    const latest = samples.findLast(({ values }) => values !== undefined)?.values
    this.element.hidden = latest === undefined || !this.#series.some(({ value }) => latest[value] !== undefined)
    if (this.element.hidden) return
    const max = Math.max(0, ...samples.flatMap(({ values }) => this.#series.map(({ value }) => values?.[value] ?? 0)))
    for (const [i, { value }] of this.#series.entries()) {
      this.#lines[i]!.setAttribute('d', pathOf(samples, value, max))
      const now = latest![value]
      this.#now[i]!.parentElement!.hidden = now === undefined
      if (now !== undefined) setText(this.#now[i]!, this.#format(now))
    }
    setText(this.#top, max === 0 ? '' : this.#format(max))
    const shown = this.#series
      .map(({ label }, i) => ({ label, now: this.#now[i]! }))
      .filter(({ now }) => !now.parentElement!.hidden)
    const now = shown.map(({ label = 'now', now }) => `${label} ${now.textContent}`).join(', ')
    this.#picture.setAttribute('aria-label', `${this.#title}: ${now}; at most ${this.#format(max)} in this time`)
  }
}

/** Draws a gap where the value is unknown. */
function pathOf (samples: Sample[], name: string, max: number): string {
  const end = samples.at(-1)!.at
  const length = Math.max(MIN_WINDOW_MS, end - samples[0]!.at)
  let path = ''
  let isDrawing = false
  for (const { at, values } of samples) {
    const value = values?.[name]
    if (value === undefined) {
      isDrawing = false
      continue
    }
    const x = (WIDTH * (1 - (end - at) / length)).toFixed(1)
    const y = (HEIGHT - 1 - (max === 0 ? 0 : value / max) * (HEIGHT - 3)).toFixed(1)
    path += isDrawing ? `L${x} ${y}` : `M${x} ${y}h.1`
    isDrawing = true
  }
  return path
}

// The whole store: current statistics, and plots of the last 15 minutes.
import { h, setText } from './dom.js'
import { amount, bytes, count, duration, rate } from './format.js'
import { Plot } from './plot.js'
import { figures, type Page, type View } from './view.js'

const OVERVIEW_INTERVAL_MS = 1000
/** Samples over this time count as 15 minutes, because the server takes one only every ten seconds. */
const FULL_SECONDS = 880

export function overviewView (page: Page): View {
  const { api, sampler } = page
  const milliseconds = (value: number): string => `${amount(value)} ms`
  const plots = [
    new Plot(
      'Calls',
      [
        { value: 'readRate', label: 'reads' }, { value: 'writeRate', label: 'writes' },
        { value: 'lockRate', label: 'locks' }
      ],
      rate
    ),
    new Plot(
      'Locks',
      [
        { value: 'locks', label: 'held' }, { value: 'waiters', label: 'waiting' }
      ],
      count
    ),
    new Plot('Keys', [{ value: 'keys' }], count),
    new Plot('Names and values', [{ value: 'bytes' }], bytes),
    new Plot(
      'Removed keys',
      [
        { value: 'expired', label: 'expired' }, { value: 'evicted', label: 'evicted' }
      ],
      rate
    ),
    new Plot('Response time of this page', [{ value: 'trip' }], milliseconds),
    new Plot('Time spent waiting for locks', [{ value: 'waited' }], value => `${amount(value)} s per second`),
    new Plot(
      'Event loop delay of the store',
      [
        { value: 'p99', label: '99 %' }, { value: 'max', label: 'longest' }
      ],
      milliseconds
    ),
    new Plot(
      'Memory of the store',
      [
        { value: 'rss', label: 'resident' }, { value: 'heap', label: 'heap' }
      ],
      bytes
    ),
    new Plot('Connected processes', [{ value: 'processes' }], count)
  ]
  const names = [
    'Collections', 'Keys', 'Bytes', 'Uptime', 'Largest value allowed', 'Data not yet on disk', 'Failed writes to disk'
  ] as const
  const values = Object.fromEntries(names.map(name => [name, h('span', {}, '–')])) as Record<
    (typeof names)[number],
    HTMLElement
  >
  const list = figures(...names.map(name => [name, values[name]] as [string, Node]))
  const note = h('p', { class: 'note' })
  const show = (): void => {
    const { samples, stats } = sampler
    for (const plot of plots) plot.draw(samples)
    const seconds = samples.length === 0 ? 0 : (samples.at(-1)!.at - samples[0]!.at) / 1000
    const extent = seconds > FULL_SECONDS
      ? 'The plots show the last 15 minutes.'
      : `The plots go back ${duration(seconds)}: this server process has seen no more.`
    setText(note, seconds === 0 ? '' : extent)
    if (stats === undefined) return
    const texts: Record<typeof names[number], string | undefined> = {
      Collections: count(stats.collections),
      Keys: count(stats.keys),
      Bytes: bytes(stats.bytes),
      Uptime: stats.uptime === undefined ? undefined : duration(stats.uptime),
      'Largest value allowed': bytes(stats.maxValueBytes),
      'Data not yet on disk': stats.data === undefined ? undefined : duration(stats.data.lag),
      'Failed writes to disk': stats.data === undefined ? undefined : count(stats.data.errors)
    }
    for (const name of names) {
      setText(values[name], texts[name] ?? '–')
      values[name].closest('div')!.hidden = texts[name] === undefined
    }
  }
  return {
    title: 'Overview',
    content: [list, note, h('div', { class: 'plots' }, ...plots.map(({ element }) => element))],
    curl: () => api.curl('GET', 'stats'),
    interval: OVERVIEW_INTERVAL_MS,
    async update () {
      show()
      if (sampler.error !== undefined) throw sampler.error
    }
  }
}

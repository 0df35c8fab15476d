// All collections, with their size and rates.
import { h, setText, shown } from './dom.js'
import { bytes, count, plural, rate } from './format.js'
import { linkTo, setParameter } from './router.js'
import { Table } from './table.js'
import { toolbar, type Page, type View } from './view.js'

export interface Collection {
  name: string
  keys: number
  bytes: number
  locks: number
  waiters: number
  reads: number
  writes: number
  expired: number
  evicted: number
  expireKeys: number
  maxKeys: number
  maxBytes: number
  evict: boolean
}

/** Rates are per second. */
interface Row extends Collection {
  readRate: number
  writeRate: number
}

/** Maximum number of collections listed. Each page of 1000 is a request. */
const MAX_LISTED = 5000
const PAGE_SIZE = 1000
const COLLECTIONS_INTERVAL_MS = 3000

/** Rates of a collection, from two readings of its counters. */
export class Rates {
  #last = new Map<string, { at: number, collection: Collection }>()

  /** Zero at the first reading. */
  of (collection: Collection): { readRate: number, writeRate: number } {
    const { name } = collection
    const at = performance.now()
    const last = this.#last.get(name)
    this.#last.set(name, { at, collection })
    const rate = (counter: 'reads' | 'writes'): number => (
      last === undefined ? 0 : Math.max(0, collection[counter] - last.collection[counter]) / ((at - last.at) / 1000)
    )
    return { readRate: rate('reads'), writeRate: rate('writes') }
  }
}

export function collectionsView (page: Page, parameters: URLSearchParams): View {
  const { api } = page
  const rates = new Rates()
  const note = h('p', { class: 'note' })
  const filter = h('input', {
    type: 'search',
    'aria-label': 'Only names that contain',
    placeholder: 'Only names that contain…',
    input: () => {
      show()
    }
  })
  filter.value = parameters.get('filter') ?? ''
  let sort = parameters.get('sort') ?? '-Bytes'
  let rows: Row[] = []
  const number = (title: string, value: (row: Row) => number, text: (value: number) => string) => ({
    title, text: (row: Row) => text(value(row)), by: value, isNumber: true
  })
  const table = new Table<Row>('Collections', [
    {
      title: 'Name',
      element: ({ name }) => h('a', { href: linkTo(['collections', name]) }, shown(name)),
      by: ({ name }) => name
    },
    number('Keys', ({ keys }) => keys, count),
    number('Bytes', ({ bytes }) => bytes, bytes),
    number('Reads', ({ readRate }) => readRate, rate),
    number('Writes', ({ writeRate }) => writeRate, rate),
    number('Locks', ({ locks }) => locks, count),
    number('Waiting', ({ waiters }) => waiters, count),
    number('Expired', ({ expired }) => expired, count),
    number('Evicted', ({ evicted }) => evicted, count)
  ], ({ name }) => name, 'There is no such collection.', {
    get: () => sort,
    set: value => {
      sort = value
      setParameter('sort', value)
    }
  })
  const show = (): void => {
    const wanted = filter.value
    if (wanted !== (parameters.get('filter') ?? '')) {
      parameters.set('filter', wanted)
      setParameter('filter', wanted)
    }
    const found = rows.filter(({ name }) => name.includes(wanted))
    table.show(found)
    setText(note, rows.length >= MAX_LISTED
      ? `${plural(found.length, 'collection')} of the first ${count(rows.length)}; there are more.`
      : `${plural(found.length, 'collection')}.`)
  }
  return {
    title: 'Collections',
    content: [toolbar(filter), note, table.element],
    interval: COLLECTIONS_INTERVAL_MS,
    curl: () => api.curl('GET', 'collections'),
    async update (signal) {
      const found: Collection[] = []
      let cursor: string | undefined
      do {
        const query = new URLSearchParams({ limit: String(PAGE_SIZE), ...cursor === undefined ? {} : { cursor } })
        const answer = await api.json<{ collections: Collection[]; cursor?: string }>(
          `collections?${query.toString()}`, signal
        )
        found.push(...answer.collections)
        cursor = answer.cursor
      } while (cursor !== undefined && found.length < MAX_LISTED)
      rows = found.map(collection => ({ ...collection, ...rates.of(collection) }))
      show()
    }
  }
}

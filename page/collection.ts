// One collection: its statistics, options and biggest keys.
import { Failure, path } from './api.js'
import { button, field, h, quoted, setText, shown } from './dom.js'
import { bytes, count, plural, rate } from './format.js'
import { linkTo } from './router.js'
import { Rates, type Collection } from './collections.js'
import { Table } from './table.js'
import { confirmed, figures, toolbar, type Page, type View } from './view.js'

interface KeySize {
  key: string
  bytes: number
}

interface Biggest {
  keys: KeySize[]
  examined: number
  cursor?: string
}

const COLLECTION_INTERVAL_MS = 2000
const BIGGEST = 20
/** Number of keys that one request examines. */
const EXAMINED = 100_000

export function collectionView (page: Page, name: string): View {
  const { api } = page
  const resource = path('collections', name)
  const rates = new Rates()
  const names = ['Keys', 'Bytes', 'Locks', 'Waiting', 'Reads', 'Writes', 'Expired', 'Evicted'] as const
  const values = Object.fromEntries(names.map(name => [name, h('span', {}, '–')])) as Record<
    (typeof names)[number],
    HTMLElement
  >
  const options = new Options(page, name)
  const biggest = new BiggestKeys(page, name)
  const missing = h('p', {}, 'It has no keys, locks or options.')
  const found = h(
    'div', {}, figures(...names.map(name => [name, values[name]] as [string, Node])), options.element, biggest.element
  )
  missing.hidden = found.hidden = true
  return {
    title: `Collection ${shown(name)}`,
    content: [
      toolbar(
        h('a', { href: linkTo(['collections', name, 'keys']) }, 'Keys'),
        h('a', { href: linkTo(['collections', name, 'changes']) }, 'Live changes'),
        api.canWrite && h('a', { href: linkTo(['collections', name, 'new']) }, 'Add a key'),
        api.canWrite && button('Delete all keys…', () => clear(page, name), { class: 'danger' })
      ),
      missing, found
    ],
    interval: COLLECTION_INTERVAL_MS,
    curl: () => api.curl('GET', resource),
    async update (signal) {
      let stats: Collection | undefined
      try {
        stats = await api.json<Collection>(resource, signal)
      } catch (error) {
        if (!(error instanceof Failure && error.status === 404)) throw error
      }
      missing.hidden = stats !== undefined
      found.hidden = stats === undefined
      if (stats === undefined) return
      const { readRate, writeRate } = rates.of(stats)
      setText(values.Keys, count(stats.keys))
      setText(values.Bytes, bytes(stats.bytes))
      setText(values.Locks, count(stats.locks))
      setText(values.Waiting, plural(stats.waiters, 'call'))
      setText(values.Reads, `${count(stats.reads)}, ${rate(readRate)}`)
      setText(values.Writes, `${count(stats.writes)}, ${rate(writeRate)}`)
      setText(values.Expired, count(stats.expired))
      setText(values.Evicted, count(stats.evicted))
      options.show(stats)
      biggest.bytes = stats.bytes
      await biggest.start(signal)
    }
  }
}

/** The form of the options. Updates do not overwrite unsaved changes of the user. */
class Options {
  readonly element: HTMLElement
  readonly #inputs = {
    expireKeys: h('input', { type: 'number', min: 0, step: 'any', required: true }),
    maxKeys: h('input', { type: 'number', min: 0, step: 1, required: true }),
    maxBytes: h('input', { type: 'number', min: 0, step: 1, required: true })
  }

  readonly #evict = h('input', { type: 'checkbox' })
  #current: Collection | undefined

  constructor (page: Page, name: string) {
    const { expireKeys, maxKeys, maxBytes } = this.#inputs
    const { canWrite } = page.api
    const form = h(
      'form',
      {
        submit: event => {
          event.preventDefault()
          this.#save(page, name).catch(error => {
            page.fail(error)
          })
        }
      },
      field('Seconds without use until a key expires', expireKeys, '0: never'),
      field('Most keys', maxKeys, '0: no bound'),
      field('Most bytes', maxBytes, '0: no bound'),
      h(
        'label', { class: 'check' }, this.#evict,
        ' When full, evict the least recently used keys (otherwise writes fail)'
      ),
      canWrite && toolbar(h('button', {}, 'Save the options'))
    )
    if (!canWrite) for (const input of [...Object.values(this.#inputs), this.#evict]) input.disabled = true
    this.element = h('details', {}, h('summary', {}, h('h2', {}, 'Options')), form)
  }

  show (collection: Collection): void {
    const last = this.#current
    for (const [name, input] of Object.entries(this.#inputs) as Array<['maxKeys', HTMLInputElement]>) {
      if (last === undefined || Number(input.value) === last[name]) input.value = String(collection[name])
    }
    if (last === undefined || this.#evict.checked === last.evict) this.#evict.checked = collection.evict
    this.#current = collection
  }

  async #save (page: Page, name: string): Promise<void> {
    const changed: Record<string, number | boolean> = {}
    for (const [option, input] of Object.entries(this.#inputs) as Array<['maxKeys', HTMLInputElement]>) {
      if (Number(input.value) !== this.#current?.[option]) changed[option] = Number(input.value)
    }
    if (this.#evict.checked !== this.#current?.evict) changed.evict = this.#evict.checked
    if (Object.keys(changed).length === 0) {
      page.say('No option was changed.')
      return
    }
    const body = JSON.stringify(changed)
    const resource = path('collections', name)
    const isSure = await confirmed({
      title: `Change the options of ${quoted(name)}?`,
      text: [
        `For all processes: ${Object.entries(changed).map(([option, value]) => `${option} = ${value}`).join(', ')}.`,
        'A lower bound or a shorter time removes keys immediately.'
      ],
      action: 'Change the options',
      curl: page.api.curl('PATCH', resource, { body })
    })
    if (!isSure) return
    await page.api.ask('PATCH', resource, { body })
    page.say('The options are changed.')
    await page.refresh()
  }
}

class BiggestKeys {
  readonly element: HTMLElement
  /** Size of the whole collection. */
  bytes = 0
  readonly #page: Page
  readonly #resource: string
  readonly #table: Table<KeySize>
  readonly #note = h('p', { class: 'note' }, 'Looking…')
  readonly #more = button('Examine more keys', () => this.#load().catch(error => { this.#page.fail(error) }))
  #keys: KeySize[] = []
  #examined = 0
  #cursor: string | undefined
  #isStarted = false

  constructor (page: Page, name: string) {
    this.#page = page
    this.#resource = `${path('collections', name)}/biggest`
    this.#table = new Table<KeySize>(
      'Biggest keys',
      [
        {
          title: 'Key', element: ({ key }) => h('a', { href: linkTo(['collections', name, 'keys', key]) }, shown(key))
        },
        { title: 'Size of its value', text: ({ bytes: size }) => bytes(size), isNumber: true },
        {
          title: 'Share',
          text: ({ bytes }) => (this.bytes === 0 ? '–' : `${((100 * bytes) / this.bytes).toPrecision(2)} %`),
          isNumber: true
        }
      ],
      ({ key }) => key,
      'There are no keys.'
    )
    this.#more.hidden = true
    this.element = h('section', {}, h('h2', {}, 'Biggest keys'), this.#note, this.#table.element, toolbar(this.#more))
  }

  /** Loads the biggest keys. Called once. */
  async start (signal: AbortSignal): Promise<void> {
    if (this.#isStarted) return
    await this.#load(signal)
    this.#isStarted = true
  }

  async #load (signal?: AbortSignal): Promise<void> {
    const query = new URLSearchParams({ limit: String(BIGGEST), examine: String(EXAMINED) })
    if (this.#cursor !== undefined) query.set('cursor', this.#cursor)
    this.#more.disabled = true
    const found = await this.#page.api.json<Biggest>(`${this.#resource}?${query.toString()}`, signal)
      .finally(() => { this.#more.disabled = false })
    this.#examined += found.examined
    this.#cursor = found.cursor
    this.#keys = [...this.#keys, ...found.keys].sort((a, b) => b.bytes - a.bytes).slice(0, BIGGEST)
    this.#more.hidden = found.cursor === undefined
    setText(this.#note, `Of ${found.cursor === undefined ? 'all ' : 'the first '}${plural(this.#examined, 'key')}.`)
    this.#table.show(this.#keys)
  }
}

async function clear (page: Page, name: string): Promise<void> {
  const { api } = page
  const resource = path('collections', name)
  try {
    const isSure = await confirmed({
      title: `Delete all keys of ${quoted(name)}?`,
      text: [
        'They are deleted for all processes, and cannot be restored.',
        'Locked keys are deleted when they are released. The options are kept.'
      ],
      action: 'Delete all keys',
      curl: api.curl('DELETE', resource)
    })
    if (!isSure) return
    await api.ask('DELETE', resource)
    page.say(`The keys of ${quoted(name)} are deleted.`)
  } catch (error) {
    page.fail(error)
  }
  await page.refresh()
}

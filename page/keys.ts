// The keys of a collection, searched by prefix, in pages.
import { path } from './api.js'
import { button, field, h, setText, shown } from './dom.js'
import { bytes, plural, setTime, time } from './format.js'
import { linkTo } from './router.js'
import { Table } from './table.js'
import { prefixSearch, toolbar, type Page, type View } from './view.js'

interface Key {
  key: string
  version: number
  bytes: number
  expiresAt?: string
}

interface KeyPage {
  keys: Key[]
  cursor?: string
}

/** Minimum number of keys per page, unless finding them requires too many requests. */
const LEAST_KEYS = 100
const MAX_REQUESTS = 200
/** Number of keys that one request of a search examines. */
const SEARCHED = 1000
const NEVER = 'never'

export function keysView (page: Page, name: string, parameters: URLSearchParams): View {
  const { api } = page
  const resource = `${path('collections', name)}/keys`
  const prefix = parameters.get('prefix') ?? ''
  const first = parameters.get('cursor') ?? undefined
  const here = ['collections', name, 'keys']
  const input = h('input', { type: 'search' })
  input.value = prefix
  const note = h('p', { class: 'note', role: 'status' }, 'Looking…')
  const next = h('a', {}, 'Next page')
  next.hidden = true
  const table = new Table<Key>('Keys', [
    { title: 'Key', element: ({ key }) => h('a', { href: linkTo([...here, key]) }, shown(key)) },
    { title: 'Size', text: ({ bytes: size }) => bytes(size), isNumber: true },
    { title: 'Version', text: ({ version }) => String(version), isNumber: true },
    {
      title: 'Expires',
      element: ({ expiresAt }) => time(expiresAt, NEVER),
      update: (element, { expiresAt }) => { setTime(element as HTMLTimeElement, expiresAt, NEVER) }
    }
  ], ({ key }) => key, prefix === '' ? 'There are no keys.' : 'No key has this prefix.')
  const query = (cursor: string | undefined): string => new URLSearchParams({
    ...prefix === '' ? {} : { prefix },
    ...cursor === undefined ? {} : { cursor },
    limit: String(prefix === '' ? LEAST_KEYS : SEARCHED)
  }).toString()
  return {
    title: `Keys of ${shown(name)}`,
    content: [
      prefixSearch(input, here, 'Search',
        button('Refresh', () => page.refresh()),
        api.canWrite && h('a', { href: linkTo(['collections', name, 'new']) }, 'Add a key'),
        h('a', { href: linkTo(['collections', name]) }, 'The collection')),
      note, table.element,
      toolbar(first !== undefined && h('a', { href: linkTo(here, { prefix }) }, 'First page'), next)
    ],
    curl: () => api.curl('GET', `${resource}?${query(first)}`),
    async update (signal) {
      const found: Key[] = []
      let cursor = first
      let requests = 0
      do {
        const answer = await api.json<KeyPage>(`${resource}?${query(cursor)}`, signal)
        found.push(...answer.keys)
        cursor = answer.cursor
        if (++requests % 10 === 0) setText(note, `Looked at ${plural(requests * SEARCHED, 'key')}…`)
      } while (cursor !== undefined && found.length < LEAST_KEYS && requests < MAX_REQUESTS)
      table.show(found.sort((a, b) => a.key < b.key ? -1 : 1))
      next.hidden = cursor === undefined
      if (cursor !== undefined) next.href = linkTo(here, { prefix, cursor })
      setText(
        note,
        cursor === undefined ? `${plural(found.length, 'key')}.` : `${plural(found.length, 'key')}; there are more.`
      )
    }
  }
}

/** Asks for the name of a new key, and opens its view, where the value is entered. */
export function newKeyView (_: Page, name: string): View {
  const input = h('input', { required: true, autocomplete: 'off' })
  return {
    title: `Add a key to ${shown(name)}`,
    content: [h('form', {
      submit: event => {
        event.preventDefault()
        location.hash = linkTo(['collections', name, 'keys', input.value])
      }
    }, field('Name of the key', input), toolbar(h('button', {}, 'Continue')))]
  }
}

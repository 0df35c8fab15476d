// Shows a value as a tree. Nodes are created when they are opened.
import { button, h, quoted } from './dom.js'
import { count, plural } from './format.js'
import { ExactNumber } from './json.js'

/** Maximum number of items shown at a time, and of characters of a string. */
const MAX_ITEMS = 100
const MAX_CHARACTERS = 500

export function treeOf (value: unknown): HTMLElement {
  const root = branch(undefined, value)
  if (root instanceof HTMLDetailsElement) root.open = true
  return h('div', { class: 'tree' }, root)
}

function branch (name: string | number | undefined, value: unknown): HTMLElement {
  const label =
    name !== undefined && h('span', { class: 'name' }, typeof name === 'number' ? `${name}: ` : `${quoted(name)}: `)
  if (typeof value !== 'object' || value === null || value instanceof ExactNumber) {
    return h('div', {}, label, leaf(value))
  }
  const isArray = Array.isArray(value)
  const size = isArray ? value.length : Object.keys(value).length
  if (size === 0) return h('div', {}, label, isArray ? '[]' : '{}')
  const list = h('ul')
  const details: HTMLDetailsElement = h(
    'details',
    {
      toggle: () => {
        if (details.open && list.childElementCount === 0) fill(list, value, 0)
      }
    },
    h('summary', {}, label, isArray ? `[${plural(size, 'item')}]` : `{${plural(size, 'property', 'properties')}}`),
    list
  )
  return details
}

function fill (list: HTMLElement, value: object, from: number): void {
  const items: Array<[string | number, unknown]> = Array.isArray(value)
    ? value.slice(from, from + MAX_ITEMS).map((item, i) => [from + i, item])
    : Object.keys(value).slice(from, from + MAX_ITEMS).map(name => [name, (value as Record<string, unknown>)[name]])
  list.append(...items.map(([name, item]) => h('li', {}, branch(name, item))))
  const left = (Array.isArray(value) ? value.length : Object.keys(value).length) - from - items.length
  if (left === 0) return
  const more = h('li', {}, button(`Show more of ${count(left)}`, () => {
    more.remove()
    fill(list, value, from + items.length)
    const next = list.children[from + items.length]?.querySelector('summary, button')
    if (next instanceof HTMLElement) next.focus()
  }))
  list.append(more)
}

function leaf (value: unknown): HTMLElement {
  if (typeof value !== 'string') {
    return h('span', { class: 'literal' }, value instanceof ExactNumber ? value.text : String(value))
  }
  if (value.length <= MAX_CHARACTERS) return h('span', { class: 'string' }, quoted(value))
  const span = h(
    'span',
    { class: 'string' },
    quoted(value.slice(0, MAX_CHARACTERS)),
    '… ',
    button(`Show all ${count(value.length)} characters`, () => {
      span.textContent = quoted(value)
    })
  )
  return span
}

// Tables whose row elements are reused when their data changes, so that focus and selection are kept.
import { button, h, setText } from './dom.js'

export interface Column<T> {
  title: string
  /** The text of a cell, or its element, which is created once per row and then updated. */
  text?: (item: T) => string
  element?: (item: T, current: () => T) => HTMLElement
  update?: (element: HTMLElement, item: T) => void
  /** The sort key of a row. */
  by?: (item: T) => number | string
  isNumber?: boolean
}

interface Row<T> {
  item: T
  element: HTMLTableRowElement
  cells: HTMLElement[]
}

export interface Sort {
  /** Title of the column; with a leading '-', descending. */
  get (): string
  set (sort: string): void
}

export class Table<T> {
  readonly element: HTMLElement
  readonly #columns: Array<Column<T>>
  readonly #id: (item: T) => string
  readonly #body = h('tbody', { role: 'rowgroup' })
  readonly #empty: HTMLElement
  readonly #heads: HTMLElement[]
  readonly #sort: Sort | undefined
  #rows = new Map<string, Row<T>>()
  #items: T[] = []

  /** `empty` is shown if there are no rows. */
  constructor (label: string, columns: Array<Column<T>>, id: (item: T) => string, empty: string, sort?: Sort) {
    this.#columns = columns
    this.#id = id
    this.#sort = sort
    this.#empty = h('p', { class: 'empty' }, empty)
    this.#empty.hidden = true
    this.#heads = columns.map(column => h('th', {
      scope: 'col', role: 'columnheader', class: column.isNumber === true ? 'number' : undefined
    }, sort !== undefined && column.by !== undefined
      ? button(column.title, () => { this.#sortBy(column) }, { class: 'sort' })
      : column.title))
    // Some browsers drop the implicit roles of these elements if CSS changes their display.
    this.element = h('div', { class: 'table' },
      h('table', { role: 'table', 'aria-label': label },
        h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, ...this.#heads)), this.#body),
      this.#empty)
  }

  show (items: T[]): void {
    this.#items = items
    const sorted = this.#sorted(items)
    const rows = new Map(sorted.map(item => {
      const id = this.#id(item)
      const row = this.#rows.get(id) ?? this.#row(item)
      row.item = item
      for (const [i, { text, update }] of this.#columns.entries()) {
        if (text !== undefined) setText(row.cells[i]!, text(item))
        update?.(row.cells[i]!, item)
      }
      return [id, row]
    }))
    for (const [id, { element }] of this.#rows) if (!rows.has(id)) element.remove()
    this.#rows = rows
    let next = this.#body.firstElementChild
    for (const { element } of rows.values()) {
      if (element === next) next = next.nextElementSibling
      else this.#body.insertBefore(element, next)
    }
    this.#empty.hidden = items.length > 0
    this.element.classList.toggle('none', items.length === 0)
  }

  #row (item: T): Row<T> {
    const row: Row<T> = { item, element: h('tr', { role: 'row' }), cells: [] }
    for (const { title, element, isNumber } of this.#columns) {
      const cell = element?.(item, () => row.item) ?? h('span')
      row.cells.push(cell)
      row.element.append(
        h('td', { role: 'cell', 'data-title': title, class: isNumber === true ? 'number' : undefined }, cell)
      )
    }
    return row
  }

  #sorted (items: T[]): T[] {
    if (this.#sort === undefined) return items
    const sort = this.#sort.get()
    const isDown = sort.startsWith('-')
    const index = this.#columns.findIndex(({ title }) => title === sort.replace('-', ''))
    for (const [i, head] of this.#heads.entries()) {
      if (i === index) head.setAttribute('aria-sort', isDown ? 'descending' : 'ascending')
      else head.removeAttribute('aria-sort')
    }
    const by = this.#columns[index]?.by
    if (by === undefined) return items
    const compare = (a: T, b: T): number => {
      const [x, y] = [by(a), by(b)]
      return x < y ? -1 : x > y ? 1 : 0
    }
    return [...items].sort(isDown ? (a, b) => compare(b, a) : compare)
  }

  #sortBy ({ title, isNumber }: Column<T>): void {
    const first = isNumber === true ? `-${title}` : title
    this.#sort!.set(this.#sort!.get() !== first ? first : first.startsWith('-') ? title : `-${title}`)
    this.show(this.#items)
  }
}

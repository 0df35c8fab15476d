// What the views of the page have in common.
import type { Api } from './api.js'
import { button, field, h, type Child } from './dom.js'
import { linkTo } from './router.js'
import type { Sampler } from './sampler.js'

export interface Page {
  api: Api
  /** Statistics since the page was opened. */
  sampler: Sampler
  /** Shows a message, which screen readers announce. */
  say (message: string): void
  /** Shows the error of a user's action. */
  fail (error: unknown): void
  /** Updates the view now. */
  refresh (): Promise<void>
}

export interface View {
  title: string
  content: Child[]
  /** Loads the data of the view. Called repeatedly, every `interval` milliseconds. */
  update? (signal: AbortSignal): Promise<void>
  interval?: number
  /** Loads data only on request. Called once. */
  close? (): void
  /** The request that returns the same data. */
  curl?: () => string
}

/** Elements in a row below the heading. */
export function toolbar (...children: Child[]): HTMLElement {
  return h('div', { class: 'toolbar' }, ...children)
}

/** A term with a value that changes. */
export function figures (...items: Array<[name: string, value: Node]>): HTMLElement {
  return h(
    'dl', { class: 'figures' }, ...items.map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value)))
  )
}

export interface Question {
  title: string
  text: string[]
  /** The label of the confirm button. */
  action: string
  /** The request that the action sends. */
  curl?: string
}

/** Asks for confirmation in a dialog. Escape cancels. */
export async function confirmed ({ title, text, action, curl }: Question): Promise<boolean> {
  return await new Promise(resolve => {
    let answer = false
    const dialog = h('dialog', {
      'aria-labelledby': 'question',
      close: () => {
        dialog.remove()
        resolve(answer)
      }
    },
    h('h2', { id: 'question' }, title),
    ...text.map(paragraph => h('p', {}, paragraph)),
    curl !== undefined && h('details', {}, h('summary', {}, 'As a command'), h('pre', { tabindex: 0 }, curl)),
    toolbar(
      button('Cancel', () => { dialog.close() }, { autofocus: true }),
      button(action, () => {
        answer = true
        dialog.close()
      }, { class: 'danger' })
    ))
    document.body.append(dialog)
    dialog.showModal()
  })
}

/** A form that opens the same view with another prefix. `more`: further elements in its line. */
export function prefixSearch (input: HTMLInputElement, names: string[], action: string, ...more: Child[]): HTMLElement {
  return h('form', {
    class: 'toolbar',
    role: 'search',
    submit: event => {
      event.preventDefault()
      location.hash = linkTo(names, { prefix: input.value })
    }
  }, field('Keys that begin with', input), h('button', {}, action), ...more)
}

/** Copies a command to the clipboard, or shows it if the browser does not allow that. */
export async function copyCommand (page: Page, command: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(command)
    page.say(
      command.includes('$STORE_TOKEN')
        ? 'Copied. The command reads the token from the variable STORE_TOKEN.'
        : 'Copied.'
    )
  } catch {
    const text = h('textarea', { readonly: true, rows: 4, 'aria-label': 'Command' })
    text.value = command
    const dialog: HTMLDialogElement = h('dialog', { 'aria-label': 'Copy as curl', close: () => { dialog.remove() } },
      text, toolbar(button('Close', () => { dialog.close() }))
    )
    document.body.append(dialog)
    dialog.showModal()
    text.select()
  }
}

// Edits a value as text. It is saved only if the value has not changed since it was loaded.
import { Failure, path } from './api.js'
import { button, h, setText } from './dom.js'
import { compact, spread } from './json.js'
import { toolbar, type Page } from './view.js'

export interface Stored {
  /** JSON text as it is stored. */
  text: string
  version: number
  expiresAt: string | undefined
}

/** Timeout of saving, in seconds. */
const LEASE_SECONDS = 10

/** Unsaved text by resource. It is kept while other views are shown, and across logins. */
export const drafts = new Map<string, { text: string, base: Stored | undefined }>()

export class Editor {
  readonly element: HTMLElement
  readonly #page: Page
  readonly #resource: string
  readonly #lock: string
  readonly #text = h('textarea', {
    rows: 12,
    spellcheck: 'false',
    autocomplete: 'off',
    'aria-label': 'Value as JSON text',
    'aria-describedby': 'value-note',
    input: () => { this.#changed() }
  })

  readonly #note = h('p', { class: 'notice', id: 'value-note', role: 'status' })
  readonly #save = button('Save', () => this.#store())
  readonly #revert = button('Discard my changes', () => { this.#load(this.#latest) })
  readonly #rebase = button('Keep my text and replace the new value with it', () => {
    this.#base = this.#latest
    this.#changed()
    this.#text.focus()
  })

  /** The version that the text is based on; undefined if the key had no value. */
  #base: Stored | undefined
  #shown = ''
  #latest: Stored | undefined

  constructor (page: Page, collection: string, key: string) {
    this.#page = page
    const root = path('collections', collection)
    this.#resource = `${root}/keys/${path(key)}`
    this.#lock = `${root}/locks/${path(key)}`
    const { canWrite } = page.api
    this.#text.readOnly = true
    this.element = h('section', {}, h('h2', {}, 'As text'), this.#text, this.#note,
      canWrite && toolbar(this.#save, this.#revert, this.#rebase))
    const draft = canWrite ? drafts.get(this.#resource) : undefined
    this.#load(draft?.base)
    if (draft !== undefined) {
      this.#text.value = draft.text
      this.#changed()
    }
  }

  get isChanged (): boolean {
    return this.#text.value !== this.#shown
  }

  /** Called once the value is known: text typed before would count as an edit of a key without a value. */
  open (): void {
    this.#text.readOnly = !this.#page.api.canWrite
  }

  /** Shows the value that is stored now, unless the user has changed the text. */
  show (stored: Stored | undefined): void {
    this.#latest = stored
    if (this.isChanged) this.#changed()
    else this.#load(stored)
  }

  #load (stored: Stored | undefined): void {
    this.#base = this.#latest = stored
    this.#text.value = stored === undefined ? '' : spread(stored.text)
    this.#shown = this.#text.value
    this.#changed()
  }

  #changed (message = ''): void {
    if (this.isChanged) drafts.set(this.#resource, { text: this.#text.value, base: this.#base })
    else drafts.delete(this.#resource)
    const isOutdated = this.isChanged && this.#base?.version !== this.#latest?.version
    const outdated = this.#latest === undefined
      ? 'The key was deleted since you began. Your text is kept.'
      : 'The value was changed since you began: the tree shows it. Your text is kept.'
    const text = message !== '' ? message : isOutdated ? outdated : ''
    setText(this.#note, text)
    this.#note.hidden = text === ''
    this.#save.disabled = !this.isChanged || isOutdated
    this.#revert.hidden = !this.isChanged
    this.#rebase.hidden = !isOutdated
    this.#text.removeAttribute('aria-invalid')
  }

  async #store (): Promise<void> {
    let body: string
    try {
      JSON.parse(this.#text.value)
      body = compact(this.#text.value)
    } catch (error) {
      this.#changed(`This is not JSON: ${(error as Error).message}`)
      this.#text.setAttribute('aria-invalid', 'true')
      this.#text.focus()
      return
    }
    this.#save.disabled = true
    try {
      if (this.#base === undefined) {
        await this.#page.api.ask('PUT', this.#resource, { body, headers: { 'if-none-match': '*' } })
      } else await this.#replace(body, this.#base.version)
      this.#shown = this.#text.value // the next update shows it as it is stored
      drafts.delete(this.#resource)
      this.#page.say('Saved.')
    } catch (error) {
      if (!(error instanceof Failure && error.status === 412)) {
        this.#page.fail(error)
        this.#save.disabled = false
        return
      }
      this.#page.say('Not saved: the value was changed in the meantime.')
    }
    await this.#page.refresh()
  }

  /** Under a lock of the key, because only then does a write keep the key's expiry. */
  async #replace (body: string, version: number): Promise<void> {
    const { api } = this.#page
    const token = Array.from(crypto.getRandomValues(new Uint8Array(16)), byte =>
      byte.toString(16).padStart(2, '0')
    ).join('')
    const headers = { 'lock-token': token }
    try {
      await api.ask('POST', this.#lock, {
        headers, body: JSON.stringify({ lease: LEASE_SECONDS, owner: 'admin page' })
      })
      await api.ask('PUT', `${this.#resource}?release=true`, {
        headers: { ...headers, 'if-match': `"${version}"` }, body
      })
    } catch (error) {
      // A failure must not leave the key locked.
      api.ask('DELETE', this.#lock, { headers }).catch(() => {})
      throw error
    }
  }
}

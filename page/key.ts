// One key: its value as a tree and as editable text, its expiry, and its deletion.
import { Failure, path, type Api } from './api.js'
import { button, field, h, quoted, setText, shown } from './dom.js'
import { Editor, type Stored } from './editor.js'
import { bytes, now, setTime, time } from './format.js'
import { parse } from './json.js'
import { linkTo } from './router.js'
import { treeOf } from './tree.js'
import { confirmed, figures, toolbar, type Page, type View } from './view.js'

const KEY_INTERVAL_MS = 2000
/** Maximum length in characters of a value that is shown. */
const MAX_VALUE_LENGTH = 4 * 2 ** 20
const encoder = new TextEncoder()

export function keyView (page: Page, collection: string, key: string): View {
  const { api } = page
  const resource = `${path('collections', collection)}/keys/${path(key)}`
  const name = `${quoted(key)} in ${quoted(collection)}`
  let stored: Stored | undefined
  const version = h('span', {}, '–')
  const size = h('span', {}, '–')
  const end = time(undefined, '–')
  const notice = h('p', { class: 'notice', role: 'status' })
  notice.hidden = true
  const tree = h('div')
  const editor = new Editor(page, collection, key)
  const seconds = h('input', { type: 'number', min: 0.001, step: 'any', required: true })

  const change = async (
    done: string, method: string, query: string, ask: { headers?: Record<string, string>; body?: string }
  ): Promise<void> => {
    try {
      await api.ask(method, resource + query, ask)
      page.say(done)
    } catch (error) {
      if (error instanceof Failure && error.status === 412) {
        page.say('Nothing was changed: the key has a newer version.')
      } else page.fail(error)
    }
    await page.refresh()
  }
  const remove = async (): Promise<void> => {
    if (stored === undefined) return
    const headers = { 'if-match': `"${stored.version}"` }
    const isSure = await confirmed({
      title: `Delete ${name}?`,
      text: [
        `Its value (${bytes(sizeOf(stored.text))}) is gone for all processes, and cannot be brought back.`,
        'If it changes before then, nothing is deleted.'
      ],
      action: 'Delete the key',
      curl: api.curl('DELETE', resource, { headers })
    })
    if (isSure) await change(`${name} is deleted.`, 'DELETE', '', { headers })
  }
  const unlimited = async (): Promise<void> => {
    if (stored === undefined) return
    const ask = { headers: { 'if-match': `"${stored.version}"` }, body: stored.text }
    await change('The key has no expiry now.', 'PUT', '', ask)
  }
  const changes = h('section', {},
    h('h2', {}, 'Expiry and deletion'),
    h('form', {
      class: 'toolbar',
      submit: event => {
        event.preventDefault()
        const body = JSON.stringify({ touch: true, ttl: Number(seconds.value) })
        change('The expiry is set.', 'PATCH', '', { body }).catch(() => {})
      }
    }, field('Seconds from now', seconds), h('button', {}, 'Set the expiry'), button('No expiry', unlimited)),
    toolbar(
      button('Touch', () => change('The idle time was restarted.', 'PATCH', '', { body: '{"touch":true}' })),
      button('Delete…', remove, { class: 'danger' })
    ))
  const parts = figures(['Version', version], ['Size', size], ['Expires', end])
  const show = (): void => {
    const isShown = stored !== undefined && stored.text.length <= MAX_VALUE_LENGTH
    parts.hidden = tree.hidden = changes.hidden = stored === undefined
    editor.element.hidden = stored === undefined ? !api.canWrite : !isShown
    if (!api.canWrite) changes.hidden = true
    editor.show(isShown ? stored : undefined)
    if (stored === undefined) {
      tree.replaceChildren()
      return
    }
    setText(version, String(stored.version))
    setText(size, bytes(sizeOf(stored.text)))
    tree.replaceChildren(isShown ? treeOf(parse(stored.text)) : h('p', {}, 'The value is too large to be shown here.'))
  }
  show()
  return {
    title: `${shown(key)} in ${shown(collection)}`,
    content: [
      toolbar(
        h('a', { href: linkTo(['collections', collection, 'keys']) }, 'All keys'),
        h('a', { href: linkTo(['locks', collection, key]) }, 'Its lock')
      ),
      notice, parts, tree, editor.element, changes
    ],
    interval: KEY_INTERVAL_MS,
    curl: () => api.curl('GET', resource),
    async update (signal) {
      const { value, problem } = await load(api, resource, stored, signal)
      notice.hidden = problem === undefined
      setText(notice, problem ?? '')
      if (value !== 'locked') {
        setTime(end, value?.expiresAt, 'never')
        const isSame = value?.version === stored?.version && tree.childElementCount > 0
        stored = value
        if (!isSame) show()
        editor.open()
      }
    }
  }
}

/** The value, if the key has one and is not locked. `known`: the previous value, which is not sent again. */
async function load (
  api: Api, resource: string, known: Stored | undefined, signal: AbortSignal
): Promise<{ value: Stored | undefined | 'locked', problem?: string }> {
  try {
    const headers: Record<string, string> = known === undefined ? {} : { 'if-none-match': `"${known.version}"` }
    const answer = await api.ask('GET', `${resource}?peek=true`, { headers, signal })
    const left = answer.headers.get('x-ttl')
    const expiresAt = left === null ? undefined : new Date(now() + Number(left) * 1000).toISOString()
    if (answer.status === 304) return { value: { ...known!, expiresAt } }
    const version = Number(answer.headers.get('etag')!.replace(/^W\/|"/g, ''))
    return { value: { text: answer.text, version, expiresAt } }
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    if (error.status === 404) return { value: undefined, problem: 'The key has no value.' }
    if (error.status !== 423) throw error
    const { holder } = error.problem
    const by = holder === undefined ? '' : ` by ${shown(holder)}`
    return {
      value: 'locked',
      problem: `The key is locked${by}, so its value cannot be read now.`
    }
  }
}

function sizeOf (text: string): number {
  return encoder.encode(text).length
}

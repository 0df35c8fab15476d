// The page: asks for a token, then shows the view for the current URL, and keeps it up to date.
import { Api, Failure } from './api.js'
import { changesView } from './changes.js'
import { collectionView } from './collection.js'
import { collectionsView } from './collections.js'
import { button, field, h, setText } from './dom.js'
import { count, tick } from './format.js'
import { drafts } from './editor.js'
import { keyView } from './key.js'
import { keysView, newKeyView } from './keys.js'
import { lockView, locksView } from './locks.js'
import { overviewView } from './overview.js'
import { processesView } from './processes.js'
import { currentRoute, linkTo, type Route } from './router.js'
import { Sampler } from './sampler.js'
import { copyCommand, toolbar, type Page, type View } from './view.js'

const RETRY_MS = 3000
/** Milliseconds for which a message is shown. */
const MESSAGE_MS = 8000
const SECTIONS = [
  ['locks', 'Locks'], ['overview', 'Overview'], ['collections', 'Collections'], ['processes', 'Processes']
] as const

const OVER = 'The token is not valid any more.'

const api = new Api()
const sampler = new Sampler(api)
const message = h('p', { class: 'message', role: 'status' })
const trouble = h('p', { class: 'trouble', role: 'alert' })
trouble.hidden = message.hidden = true
const main = h('main', { id: 'main', tabindex: -1 })
const badge = h('span', { class: 'badge' })
const links = SECTIONS.map(([name, title]) => h('a', { href: linkTo([name]) }, title))
links[0]!.append(' ', badge)
const identity = h('span')
const logout = button('Forget the token', () => { leave('') })
const header = h(
  'header',
  {},
  h(
    'a',
    {
      href: '#main',
      class: 'skip',
      click: event => {
        event.preventDefault()
        main.focus()
      }
    },
    'Skip to the content'
  ),
  h('b', {}, 'strong-store'),
  h('nav', { 'aria-label': 'Views' }, ...links),
  h('div', { class: 'identity' }, identity, logout)
)
document.body.replaceChildren(header, trouble, main, message)

let view: View | undefined
let updating = new AbortController()
let timer: number | undefined
let messageTimer: number | undefined

const page: Page = {
  api,
  sampler,
  say (text) {
    setText(message, text)
    message.hidden = false
    clearTimeout(messageTimer)
    messageTimer = setTimeout(() => { message.hidden = true }, MESSAGE_MS)
  },
  fail (error) { page.say((error as Error).message) },
  async refresh () { await update() }
}

addEventListener('hashchange', open)
addEventListener('beforeunload', event => { if (drafts.size > 0) event.preventDefault() })
document.addEventListener('visibilitychange', () => {
  if (!document.hidden && view?.interval !== undefined) update().catch(() => {})
})
setInterval(() => {
  tick()
  const { stats } = sampler
  setText(badge, stats === undefined || stats.locks === 0 ? '' : count(stats.locks))
  if (view !== undefined && view.update === undefined) report(sampler.error)
}, 1000)
start().catch(() => {})

/** Logs in with the token of this tab, or without one if none is needed. */
async function start (): Promise<void> {
  try {
    await api.login()
    enter()
  } catch (error) {
    const { status } = error as Failure
    if (status === 401 || status === 403) {
      leave(api.hasToken ? OVER : '')
      return
    }
    report(error)
    setTimeout(() => { start().catch(() => {}) }, RETRY_MS)
  }
}

function enter (): void {
  report(undefined)
  identify()
  logout.hidden = !api.hasToken
  header.classList.remove('out')
  sampler.start()
  open()
}

/** Shows what the token allows. */
function identify (): void {
  const { name, access = 'read', collections } = api.access!
  const scope =
    collections === undefined
      ? ''
      : `, ${collections.length === 1 ? 'one collection' : `${count(collections.length)} collections`}`
  setText(
    identity, `${name === undefined ? '' : `${name}: `}${access === 'write' ? 'full access' : 'read only'}${scope}`
  )
}

api.onrefused = status => {
  if (status === 401) leave(OVER)
  else api.login().then(identify, () => {})
}

/** Shows the form that asks for a token. */
function leave (reason: string): void {
  if (reason === '') drafts.clear()
  close()
  sampler.stop()
  api.logout()
  report(undefined)
  header.classList.add('out')
  document.title = 'strong-store'
  const note = h('p', { class: 'notice', role: 'alert' }, reason)
  note.hidden = reason === ''
  const token = h('input', { type: 'password', required: true, autocomplete: 'off', 'aria-describedby': 'token-note' })
  const submit = h('button', {}, 'Show the store')
  const login = async (): Promise<void> => {
    submit.disabled = true
    try {
      await api.login(token.value.trim())
      enter()
    } catch (error) {
      const { status, message } = error as Failure
      api.logout()
      note.hidden = false
      setText(note, status === 401 ? 'That is not a valid token.' : message)
      submit.disabled = false
      token.select()
      token.focus()
    }
  }
  main.replaceChildren(
    h('h1', {}, 'Admin token'),
    h('form', {
      class: 'login',
      submit: event => {
        event.preventDefault()
        login().catch(() => {})
      }
    }, field('Token', token), h('small', { id: 'token-note' }, 'It is one of those that the admin API was set up with. This tab keeps it until it is closed.'), toolbar(submit), note))
  token.focus()
}

function viewOf ({ names, parameters }: Route): View | undefined {
  const [section = 'locks', first, second, third] = names
  const isLast = (length: number): boolean => names.length <= length
  switch (section) {
    case 'locks':
      if (first === undefined) return locksView(page)
      return second !== undefined && isLast(3) ? lockView(page, first, second) : undefined
    case 'overview': return isLast(1) ? overviewView(page) : undefined
    case 'processes': return isLast(1) ? processesView(page) : undefined
    case 'collections':
      if (first === undefined) return collectionsView(page, parameters)
      if (second === undefined) return collectionView(page, first)
      if (second === 'keys' && isLast(4)) {
        return third === undefined ? keysView(page, first, parameters) : keyView(page, first, third)
      }
      if (second === 'changes' && isLast(3)) return changesView(page, first, parameters)
      if (second === 'new' && api.canWrite && isLast(3)) return newKeyView(page, first)
  }
  return undefined
}

function open (): void {
  if (api.access === undefined) return
  close()
  const route = currentRoute()
  try {
    view = route && viewOf(route)
  } catch (error) { // a name that cannot be part of a URL
    view = { title: 'This cannot be shown', content: [h('p', {}, (error as Error).message)] }
  }
  view ??= { title: 'There is no such view', content: [h('p', {}, h('a', { href: linkTo([]) }, 'To the locks'))] }
  const { title, content, curl } = view
  for (const [i, [name]] of SECTIONS.entries()) {
    if ((route?.names[0] ?? 'locks') === name) links[i]!.setAttribute('aria-current', 'page')
    else links[i]!.removeAttribute('aria-current')
  }
  document.title = `${title} · strong-store`
  const heading = h('h1', { tabindex: -1 }, title)
  main.replaceChildren(
    h(
      'div', { class: 'heading' }, heading,
      curl !== undefined && button('Copy as curl', () => copyCommand(page, curl()))
    ),
    ...content.filter(child => child !== undefined && child !== false)
  )
  heading.focus({ preventScroll: true })
  scrollTo(0, 0)
  main.setAttribute('aria-busy', String(view.update !== undefined))
  update().catch(() => {})
}

function close (): void {
  document.querySelector('dialog')?.close()
  updating.abort()
  clearTimeout(timer)
  view?.close?.()
  view = undefined
}

/** Updates the view, now and after each interval. */
async function update (): Promise<void> {
  updating.abort()
  clearTimeout(timer)
  const current = view
  if (current?.update === undefined) return
  const { signal } = updating = new AbortController()
  let isFailing = false
  try {
    await current.update(signal)
    if (signal.aborted) return
    report(undefined)
  } catch (error) {
    if (signal.aborted) return
    report(error)
    isFailing = true
  }
  main.setAttribute('aria-busy', 'false')
  const { interval } = current
  if (interval === undefined && !isFailing) return
  timer = setTimeout(() => { if (!document.hidden) update().catch(() => {}) }, isFailing ? RETRY_MS : interval)
}

/** Marks the view as outdated while requests fail. */
function report (error: unknown): void {
  trouble.hidden = error === undefined
  main.classList.toggle('stale', error !== undefined)
  const isTemporary = !(error instanceof Failure) || error.status === 0 || error.status >= 429
  if (error !== undefined) setText(trouble, `${(error as Error).message}${isTemporary ? ' Trying again…' : ''}`)
}

// Live changes of a collection: server-sent events, read by fetch, because an EventSource cannot send a token.
import { path } from './api.js'
import { button, h, setText, shown } from './dom.js'
import { count, plural, time } from './format.js'
import { linkTo } from './router.js'
import { Table } from './table.js'
import { prefixSearch, type Page, type View } from './view.js'

interface Change {
  id: number
  at: string
  type: string
  key: string
  version?: number
}

const MAX_CHANGES = 200
const RECONNECT_MS = 2000
/** Minimum interval between updates of the list, in milliseconds. */
const DRAW_MS = 250

export function changesView (page: Page, name: string, parameters: URLSearchParams): View {
  const { api } = page
  const prefix = parameters.get('prefix') ?? ''
  const resource = `${path('collections', name)}/events?${new URLSearchParams({ ...prefix === '' ? {} : { prefix }, values: 'false' }).toString()}`
  const input = h('input', { type: 'search' })
  input.value = prefix
  const note = h('p', { class: 'note', role: 'status' }, 'Connecting…')
  const stopping = new AbortController()
  let changes: Change[] = []
  let seen = 0
  let existing = 0
  let isReady = false
  let isPaused = false
  let lastId: string | undefined
  let timer: number | undefined
  const table = new Table<Change>('Changes, the latest first', [
    { title: 'When', element: ({ at }) => time(at) },
    { title: 'What', text: ({ type }) => type },
    { title: 'Key', element: ({ key }) => h('a', { href: linkTo(['collections', name, 'keys', key]) }, shown(key)) },
    { title: 'Version', text: ({ version }) => version === undefined ? '' : String(version), isNumber: true }
  ], ({ id }) => String(id), 'Nothing has changed since you opened this view.')
  const draw = (): void => {
    timer = undefined
    setText(
      note, isReady ? `${plural(seen, 'change')} since you opened this view.` : `Reading existing keys: ${count(existing)}…`
    )
    if (!isPaused) table.show(changes)
  }
  const schedule = (): void => { timer ??= setTimeout(draw, DRAW_MS) }
  const handle = (type: string, id: string | undefined, data: string): void => {
    if (id !== undefined) lastId = id
    if (type === 'ready') isReady = true
    else if (type === 'reset') {
      isReady = false
      existing = 0
    } else if (!isReady) existing++
    else {
      seen++
      const { key, version } = JSON.parse(data) as { key: string, version?: number }
      changes = [
        { id: seen, at: new Date().toISOString(), type, key, ...(version === undefined ? {} : { version }) },
        ...changes
      ].slice(0, MAX_CHANGES)
    }
    schedule()
  }
  const pause: HTMLButtonElement = button('Pause', () => {
    isPaused = !isPaused
    setText(pause, isPaused ? 'Resume' : 'Pause')
    draw()
  })
  follow().catch(() => {})
  return {
    title: `Changes of ${shown(name)}`,
    content: [
      prefixSearch(input, ['collections', name, 'changes'], 'Follow', pause,
        h('a', { href: linkTo(['collections', name]) }, 'The collection')),
      note, table.element
    ],
    curl: () => api.curl('GET', resource, { headers: { accept: 'text/event-stream' } }),
    close: () => {
      stopping.abort()
      clearTimeout(timer)
    }
  }

  async function follow (): Promise<void> {
    while (!stopping.signal.aborted) {
      try {
        const headers = lastId === undefined || !isReady ? {} : { 'last-event-id': lastId }
        await read(await api.stream(resource, stopping.signal, headers), handle)
      } catch (error) {
        if (stopping.signal.aborted) return
        setText(note, `${(error as Error).message} Trying again…`)
      }
      await new Promise(resolve => { setTimeout(resolve, RECONNECT_MS) })
    }
  }
}

/** Calls `handle` for each event of a stream, until it ends. */
async function read (
  stream: ReadableStream<Uint8Array>, handle: (type: string, id: string | undefined, data: string) => void
): Promise<void> {
  const reader = stream.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>).getReader()
  let rest = ''
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return
    const events = (rest + value).split('\n\n')
    rest = events.pop()!
    for (const event of events) {
      const fields = event.split('\n').map(line => line.split(/: ?(.*)/s) as [string, string])
      const find = (name: string): string | undefined => fields.find(([field]) => field === name)?.[1]
      const type = find('event')
      if (type !== undefined) handle(type, find('id'), find('data') ?? '{}')
    }
  }
}

// The processes that are connected to the store.
import { h, setText, shown } from './dom.js'
import { bytes, count, plural } from './format.js'
import type { Connection, Stats } from './sampler.js'
import { Table } from './table.js'
import type { Page, View } from './view.js'

interface Row extends Connection {
  id: string
}

const PROCESSES_INTERVAL_MS = 2000

export function processesView ({ api }: Page): View {
  const unknown = h('p', {}, 'This store does not know the processes that use it.')
  unknown.hidden = true
  let sort = ''
  const number = (title: string, value: (process: Row) => number, text: (value: number) => string) => ({
    title, text: (process: Row) => text(value(process)), by: value, isNumber: true
  })
  const note = h('p', { class: 'note' })
  const table = new Table<Row>('Connected processes', [
    { title: 'Process', text: ({ name }) => shown(name), by: ({ name }) => name },
    number('Locks it holds', ({ locks }) => locks, count),
    number('Calls that wait', ({ waiting }) => waiting, count),
    number('Not yet read by it', ({ backlog }) => backlog, bytes)
  ], ({ id }) => id, 'No process is connected.', { get: () => sort, set: value => { sort = value } })
  return {
    title: 'Processes',
    content: [unknown, note, table.element],
    interval: PROCESSES_INTERVAL_MS,
    curl: () => api.curl('GET', 'stats'),
    async update (signal) {
      const { connections, processes = 0 } = await api.json<Stats>('stats', signal)
      unknown.hidden = connections !== undefined
      note.hidden = table.element.hidden = connections === undefined
      if (connections === undefined) return
      const seen = new Map<string, number>() // a process may have several connections
      table.show(connections.map(connection => {
        const place = seen.get(connection.name) ?? 0
        seen.set(connection.name, place + 1)
        return { ...connection, id: `${place} ${connection.name}` }
      }))
      setText(note, connections.length < processes
        ? `The first ${count(connections.length)} of ${plural(processes, 'process', 'processes')}.`
        : `${plural(processes, 'process', 'processes')}, that of the store included.`)
    }
  }
}

// All locks, with holder, start and waiters, and a button to break them.
import { Failure, path } from './api.js'
import { button, h, quoted, setText, shown } from './dom.js'
import { count, duration, now, plural, setTime, time } from './format.js'
import { linkTo } from './router.js'
import { Table } from './table.js'
import { confirmed, figures, toolbar, type Page, type View } from './view.js'

export interface Lock {
  collection: string
  key: string
  owner: string
  fence: number
  since: string
  expiresAt?: string
  waiters: number
}

interface Waiter {
  owner: string
  op: string
  since: string
}

interface LockQueue extends Lock {
  queue: Waiter[]
}

const LOCKS_INTERVAL_MS = 1000
/** Maximum number of locks listed, and of locks listed with their waiters. */
const MAX_LOCKS = 500
const MAX_QUEUES = 4
/** Maximum number of waiters shown per lock. */
const MAX_NAMED = 3
const WITH_HOLDER = 'with its holder'

export function locksView (page: Page): View {
  const { api } = page
  const resource = `locks?limit=${MAX_LOCKS}`
  const queues = new Map<string, Waiter[]>()
  const note = h('p', { class: 'note' })
  const table = new Table<Lock>('Locks', [
    {
      title: 'Key',
      element: ({ collection, key }) => h('a', { href: linkTo(['locks', collection, key]) }, shown(key))
    },
    {
      title: 'Collection',
      element: ({ collection }) => h('a', { href: linkTo(['collections', collection]) }, shown(collection))
    },
    { title: 'Held by', text: ({ owner }) => shown(owner) },
    { title: 'Since', element: ({ since }) => time(since) },
    {
      title: 'Expires',
      element: ({ expiresAt }) => time(expiresAt, WITH_HOLDER),
      update: (element, { expiresAt }) => { setTime(element as HTMLTimeElement, expiresAt, WITH_HOLDER) }
    },
    { title: 'Waiting', text: lock => waitersOf(lock, queues.get(idOf(lock))) },
    ...api.canWrite
      ? [{
          title: 'Change',
          element: (_: Lock, current: () => Lock) => button('Break…', () => breakLock(page, current()), {
            class: 'danger', 'aria-label': `Break the lock of ${quoted(current().key)} in ${quoted(current().collection)}`
          })
        }]
      : []
  ], idOf, 'No key is locked.')
  return {
    title: 'Locks',
    content: [note, table.element],
    interval: LOCKS_INTERVAL_MS,
    curl: () => api.curl('GET', resource),
    async update (signal) {
      const { locks } = await api.json<{ locks: Lock[] }>(resource, signal)
      const contended = locks.filter(({ waiters }) => waiters > 0).sort((a, b) => b.waiters - a.waiters)
      queues.clear()
      await Promise.all(contended.slice(0, MAX_QUEUES).map(async lock => {
        const found = await queueOf(page, lock, signal)
        if (found?.fence === lock.fence) queues.set(idOf(lock), found.queue)
      }))
      locks.sort((a, b) => b.waiters - a.waiters || (a.since < b.since ? -1 : 1))
      table.show(locks)
      const waiting = locks.reduce((sum, { waiters }) => sum + waiters, 0)
      setText(note, locks.length === MAX_LOCKS
        ? `The first ${MAX_LOCKS} locks; there may be more.`
        : `${plural(locks.length, 'key')} locked, ${plural(waiting, 'call')} waiting.`)
    }
  }
}

export function lockView (page: Page, collection: string, key: string): View {
  const { api } = page
  const resource = `${path('collections', collection)}/locks/${path(key)}`
  const owner = h('span')
  const since = time(undefined)
  const end = time(undefined)
  const fence = h('span')
  const waiting = h('span')
  const free = h('p', {}, 'The key is not locked.')
  const held = figures(['Held by', owner], ['Since', since], ['Expires', end], ['Fence', fence], ['Waiting', waiting])
  let current: LockQueue | undefined
  const breaker = api.canWrite && button('Break the lock…', async () => {
    if (current !== undefined) await breakLock(page, current)
  }, { class: 'danger' })
  const table = new Table<Waiter & { place: number }>('Waiting calls, in order', [
    { title: 'Place', text: ({ place }) => String(place) },
    { title: 'Waiting', text: ({ owner }) => shown(owner) },
    { title: 'To', text: ({ op }) => op },
    {
      title: 'Since',
      element: ({ since }) => time(since),
      update: (element, { since }) => { setTime(element as HTMLTimeElement, since) }
    }
  ], ({ place }) => String(place), 'No call waits for it.')
  return {
    title: `Lock of ${shown(key)} in ${shown(collection)}`,
    content: [
      toolbar(
        h('a', { href: linkTo(['collections', collection, 'keys', key]) }, 'Its value'),
        h('a', { href: linkTo(['collections', collection]) }, 'Its collection'), breaker
      ),
      free, held, table.element
    ],
    interval: LOCKS_INTERVAL_MS,
    curl: () => api.curl('GET', resource),
    async update (signal) {
      current = await queueOf(page, { collection, key }, signal)
      free.hidden = current !== undefined
      held.hidden = table.element.hidden = current === undefined
      if (breaker !== false) breaker.disabled = current === undefined
      if (current === undefined) return
      setText(owner, shown(current.owner))
      setTime(since, current.since)
      setTime(end, current.expiresAt, WITH_HOLDER)
      setText(fence, String(current.fence))
      setText(waiting, current.waiters > current.queue.length
        ? `${plural(current.waiters, 'call')}, of which the first ${current.queue.length} are listed`
        : plural(current.waiters, 'call'))
      table.show(current.queue.map((waiter, i) => ({ ...waiter, place: i + 1 })))
    }
  }
}

async function queueOf (
  { api }: Page, { collection, key }: Pick<Lock, 'collection' | 'key'>, signal?: AbortSignal
): Promise<LockQueue | undefined> {
  try {
    return await api.json<LockQueue>(`${path('collections', collection)}/locks/${path(key)}`, signal)
  } catch (error) {
    if (error instanceof Failure && error.status === 404) return undefined
    if (error instanceof Failure && error.status === 400) return undefined // a name that cannot be part of a URL
    throw error
  }
}

function waitersOf ({ waiters }: Lock, queue: Waiter[] = []): string {
  if (queue.length === 0) return count(waiters)
  const named = queue.slice(0, MAX_NAMED).map(({ owner, op }) => `${shown(owner)} (${op})`).join(', ')
  return `${count(waiters)}: ${named}${waiters > MAX_NAMED ? ', …' : ''}`
}

function idOf ({ collection, key, fence }: Lock): string {
  return JSON.stringify([collection, key, fence])
}

/** Breaks this grant of the lock, but not a later one of another holder. */
async function breakLock (page: Page, lock: Lock): Promise<void> {
  const { collection, key, owner, since, fence, waiters } = lock
  const { api } = page
  try {
    const resource = `${path('collections', collection)}/locks/${path(key)}?force=true&fence=${fence}`
    const name = `${quoted(key)} in ${quoted(collection)}`
    const seconds = Math.max(0, (now() - Date.parse(since)) / 1000)
    const isSure = await confirmed({
      title: `Break the lock of ${name}?`,
      text: [
        `${shown(owner)} has held it for ${duration(seconds)}. It loses the lock: changes that it has not committed ` +
        'are dropped, and its commit fails with STORE_LOCK_LOST. What it has already done elsewhere stays done.',
        waiters === 0
          ? 'No call waits for the key.'
          : `${plural(waiters, 'call')} ${waiters === 1 ? 'waits' : 'wait'} for the key; the first gets its turn at once.`
      ],
      action: 'Break the lock',
      curl: api.curl('DELETE', resource)
    })
    if (!isSure) return
    await api.ask('DELETE', resource)
    page.say(`The lock of ${name} is broken.`)
  } catch (error) {
    if (error instanceof Failure && (error.status === 404 || error.status === 409)) {
      page.say('Nothing was broken: that holder has released the lock in the meantime.')
    } else page.fail(error)
  }
  await page.refresh()
}

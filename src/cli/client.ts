// Opens the store for a command.
import { createStore, type Store } from '../api/store.js'
import { defaultSocket } from './default-socket.js'
import { invalid } from './exit.js'
import { suggestion } from './nearest.js'
import { CONFIG, type Flags, type Settings } from './settings.js'

export const CLIENT: Flags = {
  url: { value: 'URL', help: 'of the store: unix:PATH, redis:…, http:…; default: the default socket of serve' },
  timeout: { value: 'SECONDS', help: 'to connect, and again for the reply; default 10' },
  json: { help: 'print JSON lines even on a terminal' },
  ...CONFIG
}

/** Runs `use` with the store, and closes it. The token of an admin API comes from STRONG_STORE_TOKEN. */
export async function withStore<T> (
  settings: Settings, use: (store: Store) => Promise<T>, timeout = settings.number('timeout') ?? 10
): Promise<T> {
  const url = settings.get('url') ?? `unix:${defaultSocket(process.env, false)}`
  if (!/^(?:unix|rediss?|https?):/.test(url)) {
    const why = /^(?:cluster|memory):/.test(url)
      ? '; that is a store inside a process, which other programs cannot reach'
      : url.startsWith('/')
        ? `; did you mean unix:${url}?`
        : suggestion(url.split(':')[0]! + ':', ['unix:', 'redis:', 'rediss:', 'http:', 'https:'])
    throw invalid(`invalid --url: expected unix:PATH, redis://HOST or http://HOST/_store/v1, got ${JSON.stringify(url)}${why}`)
  }
  // Longer than connecting may take, because its errors explain more.
  const store = createStore({ url, connectTimeout: timeout, timeout: 2 * timeout })
  try {
    return await use(store)
  } finally {
    await store.close().catch(() => {}) // all writes were confirmed
  }
}

// A store with `data`: how long it takes to start and to close, and how large its file grows.
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { monitorEventLoopDelay, performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { createStore, type Store } from '../../src/index.js'
import { temporaryFolder } from '../rivals/strong-store.js'

export interface DataOptions {
  measure: 'load' | 'close' | 'size'
  keys: number
  /** For 'size': how long values are overwritten. */
  seconds?: number
}

const { measure, keys, seconds = 0 } = JSON.parse(process.argv[2]!) as DataOptions
/** Keys are written in batches of this size. */
const BATCH = 1000
/** Per second. */
const OVERWRITES = 10_000
const folder = temporaryFolder()
const measures = { load, close, size }
process.stdout.write(JSON.stringify(await measures[measure]()) + '\n')
process.exit()

async function load (): Promise<object> {
  const before = open()
  await fill(before, 100)
  await before.close()
  const store = open()
  let events = 0
  store.on('loading', () => { events++ })
  const delays = monitorEventLoopDelay({ resolution: 1 })
  delays.enable()
  const start = performance.now()
  await store.ping()
  const duration = performance.now() - start
  return {
    seconds: duration / 1000, keys: await store.collection('bench').size(), events, longestDelay: delays.max / 1e6
  }
}

async function close (): Promise<object> {
  const before = createStore({ url: 'memory:', data: folder, flush: 60 }) // close() writes everything
  await before.ping()
  await fill(before, 100)
  const start = performance.now()
  await before.close()
  const duration = performance.now() - start
  return { seconds: duration / 1000, keys: await open().collection('bench').size() }
}

/** Makes as many overwrites in a minute as OVERWRITES / 60 per second make in an hour. */
async function size (): Promise<object> {
  const store = open()
  await fill(store, 1000)
  const start = performance.now()
  const writes = OVERWRITES * seconds
  for (let i = 0; i < writes; i += BATCH) {
    const due = start + i / OVERWRITES * 1000
    await sleep(Math.max(0, due - performance.now()))
    await fill(store, 1000, i % keys, BATCH)
  }
  const live = (await store.collection('bench').stats())!.bytes
  await store.close()
  const file = statSync(join(folder, 'data.mdb')).size
  return { writes, liveMegabytes: live / 1e6, fileMegabytes: file / 1e6, timesLive: file / live }
}

function open (): Store {
  return createStore({ url: 'memory:', data: folder })
}

async function fill (store: Store, bytes: number, from = 0, count = keys): Promise<void> {
  const collection = store.collection('bench')
  const value = { text: 'x'.repeat(bytes - '{"text":""}'.length) }
  for (let i = from; i < from + count; i += BATCH) {
    await collection.setMany(Array.from({ length: BATCH }, (_, j) => [`key-${String(i + j).padStart(16, '0')}`, value]))
    await sleep(0)
  }
}

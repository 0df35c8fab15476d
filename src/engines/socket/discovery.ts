// How `cluster:` finds its store: a cluster worker asks the primary, a worker thread asks its main thread, and a child
// process of either finds the address in its environment. Any other process has the store itself. A process that has
// found the store passes the address on.
import cluster, { type Worker } from 'node:cluster'
import { BroadcastChannel, getEnvironmentData, isMainThread, setEnvironmentData } from 'node:worker_threads'
import { installOnce } from '../../core/shared.js'
import { answer, ask, type Address, type Channel, type Discovery } from './address.js'
import { offerToChildren, parentDiscovery } from './parent.js'
import { PROTOCOL_VERSION } from './protocol.js'

/** Milliseconds to wait for an answer where one is unlikely. */
const UNLIKELY_TIMEOUT_MS = 800
const THREADS = 'strong-store'

/** Undefined if the store is in this process. */
export function discovery (): Discovery | undefined {
  if (cluster.isWorker) return primaryDiscovery()
  if (!isMainThread) return mainThreadDiscovery()
  return parentDiscovery()
}

/** Answers questions from the workers and threads of this process. */
export function answerOthers (address: (uid: number | undefined) => Promise<Address>): void {
  if (!isMainThread) return
  installOnce(`discovery.${PROTOCOL_VERSION}`, () => {
    const onmessage = (worker: Worker, message: unknown): void => {
      answer(message, address, content => { if (worker.isConnected()) worker.send(content, () => {}) })
    }
    if (cluster.isPrimary) cluster.on('message', onmessage)
    const threads = new BroadcastChannel(THREADS)
    threads.onmessage = event => {
      answer((event as MessageEvent).data, address, content => { threads.postMessage(content) })
    }
    ;(threads as unknown as { unref (): void }).unref()
    return () => {
      cluster.off('message', onmessage)
      threads.close()
    }
  })
  setEnvironmentData(THREADS, true)
}

const PM2_REMEDY = 'PM2 is the parent of this process and has no store: run npx strong-store serve under PM2 too, and set STRONG_STORE_URL ' +
  "to the URL that it prints; or let PM2 start one process that forks its own workers (exec_mode 'fork', instances 1)"

function primaryDiscovery (): Discovery {
  // A process in fork mode that forks workers passes PM2's environment on to them.
  const isPm2 = process.env.pm_id !== undefined && process.env.exec_mode !== 'fork_mode'
  const remedy = isPm2 ? PM2_REMEDY : "import 'strong-store' in the primary, the process that calls cluster.fork()"
  let known: Address | undefined
  const find = async (timeout: number, signal: AbortSignal, isReferenced: boolean): Promise<Address> => {
    if (known !== undefined && !process.connected) return known
    const limit = isPm2 ? Math.min(timeout, UNLIKELY_TIMEOUT_MS) : timeout
    known = await ask(PRIMARY, { timeout: limit, signal, remedy, isReferenced })
    offerToChildren(known)
    return known
  }
  offerToChildren(undefined)
  return {
    find: (timeout, signal) => find(timeout, signal, true),
    // A worker that disconnects still serves requests, and one of them may be the first to use the store.
    prepare: (timeout, signal) => { find(timeout, signal, false).catch(() => {}) }
  }
}

const PRIMARY: Channel = {
  get isOpen () { return process.connected },
  send: message => { process.send!(message, undefined, undefined, () => {}) },
  listen (received, closed) {
    process.on('message', received)
    process.on('disconnect', closed)
    return () => {
      process.off('message', received)
      process.off('disconnect', closed)
    }
  }
}

function mainThreadDiscovery (): Discovery {
  // A thread started before the import in its main thread does not see this flag.
  const isLikely = getEnvironmentData(THREADS) === true
  const remedy = "this is a worker thread: import 'strong-store' in its main thread, or use createStore('memory:') for a store of its own; a store started with strong-store serve works without a main thread"
  return {
    find: (timeout, signal) => {
      const limit = isLikely ? timeout : Math.min(timeout, UNLIKELY_TIMEOUT_MS)
      return ask(mainThread(), { timeout: limit, signal, remedy })
    }
  }
}

/** A BroadcastChannel reaches all threads of the process; only the main thread answers. */
function mainThread (): Channel {
  const channel = new BroadcastChannel(THREADS)
  return {
    isOpen: true,
    send: message => { channel.postMessage(message) },
    listen (received) {
      channel.onmessage = event => { received((event as MessageEvent).data) }
      return () => { channel.close() }
    }
  }
}

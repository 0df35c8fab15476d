// The contract with real processes: a primary, a worker that runs the tests, and a second worker as the other client.
import cluster from 'node:cluster'
import { once } from 'node:events'
import { createStore } from '../../../src/index.js'
import { offer, remote, type Channel, type Message } from '../../contract/remote.js'

if (cluster.isPrimary) await primary()
else if (process.env.CONTRACT_ROLE === 'helper') help()
else await worker()

interface End {
  on (event: 'message', listener: (message: Message) => void): unknown
  send? (message: object): unknown
}

/** Messages between two processes. `via` names the receiver to the primary, which forwards them. */
function channelTo (end: End, via = {}): Channel {
  const channel: Channel = { send: message => { end.send!({ ...message, ...via }) }, onmessage: undefined }
  end.on('message', message => {
    if (typeof message.contract === 'string') channel.onmessage?.(message)
  })
  return channel
}

async function primary (): Promise<void> {
  cluster.setupPrimary({ execArgv: ['--enable-source-maps'] }) // without the test runner's loaders, which are slow
  const helper = cluster.fork({ CONTRACT_ROLE: 'helper', NODE_OPTIONS: '' })
  await once(helper, 'message') // messages sent before a worker listens are lost
  const tests = cluster.fork({ CONTRACT_ROLE: 'tests', NODE_OPTIONS: '' })
  const own = channelTo({ on: () => {}, send: message => tests.send(message) })
  offer(createStore(), own)
  tests.on('message', (message: Message & { to?: string }) => {
    if (message.to === 'helper') helper.send(message)
    else if (message.to === 'primary') own.onmessage?.(message)
  })
  helper.on('message', (message: Message) => { if (typeof message.contract === 'string') tests.send(message) })
  const [code] = await once(tests, 'exit') as [number]
  helper.kill()
  await once(helper, 'exit')
  await createStore().close()
  process.exitCode = code
}

function help (): void {
  offer(createStore(), channelTo(process))
  process.send!('ready')
}

async function worker (): Promise<void> {
  const { default: t } = await import('tap')
  const { contract } = await import('../../contract/suite.js')
  const { watching } = await import('../../contract/watching.js')
  for (const to of ['helper', 'primary']) {
    for (const suite of [contract, watching]) {
      suite(t, `a worker, with the ${to} as the other client,`, async () => {
        process.channel!.ref() // tap has released it
        return { a: createStore(), b: remote(channelTo(process as End, { to })), end: async () => {} }
      })
    }
  }
  t.teardown(async () => {
    await createStore().close()
    process.disconnect()
  })
}

// The contract over `unix:`, with the store, the tests and the other client in three separate processes.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { createStore } from '../../../src/index.js'
import { remote, type Channel, type Message } from '../../contract/remote.js'
import { contract } from '../../contract/suite.js'
import { cleanEnv, directory, serve } from '../../support/serve.js'

contract(t, 'a store in a separate process', async () => {
  const { url } = await serve(t, ['--socket', join(directory(t), 'socket')])
  const store = createStore(url)
  const user = fork(fileURLToPath(new URL('../../fixtures/contract-user.js', import.meta.url)), {
    env: cleanEnv({ STRONG_STORE_URL: url }), execArgv: []
  })
  t.teardown(() => { user.kill('SIGKILL') })
  await once(user, 'message')
  const channel: Channel = { send: message => { user.send(message) }, onmessage: undefined }
  user.on('message', (message: Message) => { channel.onmessage?.(message) })
  return { a: store, b: remote(channel), end: () => store.close() }
})

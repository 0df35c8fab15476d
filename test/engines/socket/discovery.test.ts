// How processes find the store of their cluster, and the errors when they cannot.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { PROTOCOL_VERSION } from '../../../src/engines/socket/protocol.js'
import { copyPackage } from '../../support/copies.js'
import { start } from '../../support/programs.js'

const run = promisify(execFile)
const HERE = new URL('../../../src/', import.meta.url).href

async function lines (
  t: Test, fixture: string, count: number, options: Parameters<typeof start>[2] = {}
): Promise<any[]> {
  const { nextLine, ended } = start(t, `test/fixtures/${fixture}.js`, options)
  const found = []
  while (found.length < count) found.push(JSON.parse(await nextLine()) as unknown)
  t.strictSame(await ended, [0, null])
  return found
}

const copies = (t: Test, primary: string[], worker: string[], connectTimeout?: number): Promise<any[]> =>
  lines(t, 'copies', 3, { args: [JSON.stringify({ primary, worker, connectTimeout })] })

t.test('with two protocol versions in one cluster, each worker uses the store of its version', async t => {
  const next = copyPackage(t, PROTOCOL_VERSION + 1)
  const [outcomes, { longest }, { heard }] = await copies(t, [HERE, next], [HERE, next])
  t.strictSame(outcomes, [1, 1], 'each is the first in its store')
  t.strictSame(heard, [1, 1])
  t.ok(longest < 100, 'the primary receives only short messages')
})

t.test('the error of a version mismatch names both versions', async t => {
  const next = copyPackage(t, PROTOCOL_VERSION + 1)
  const [outcomes] = await copies(t, [next], [next, HERE], 1)
  t.equal(outcomes[0], 1)
  t.strictSame(outcomes[1], {
    code: 'STORE_UNREACHABLE',
    message: `The store cannot be reached: increment of "n" in collection "copies": the store uses protocol ${PROTOCOL_VERSION + 1} of strong-store, this process uses ${PROTOCOL_VERSION}; ` +
      'load the same version in both, and restart the primary after an upgrade'
  })
})

t.test('two copies of one version share a store, its errors and its adapters', async t => {
  const [outcomes, , { heard, adapters, errors }] = await copies(t, [HERE], [HERE, copyPackage(t)])
  t.strictSame(outcomes, [1, 2])
  t.strictSame(heard, [1, 1])
  t.strictSame(adapters, ['object', 'object'])
  t.strictSame(errors, [true, true])
})

t.test('threads and children of a worker use its store, or get an error with advice', async t => {
  const found = await lines(t, 'family', 10)
  const outcomes = Object.fromEntries(found.map(({ name, outcome }) => [name, outcome]))
  const error = (message: RegExp): object => ({ code: 'STORE_UNREACHABLE', message })
  t.match(outcomes, {
    primary: [null, true],
    thread: ['of the primary', true],
    'program of its own': [null, true],
    'child that is too early': error(/started this process before it used its store; pass createStore a url/),
    child: ['value', false],
    'child of a child': ['value', false],
    'thread of a child': ['value', false],
    'worker of a child': ['value', false],
    grandchild: error(
      /which has access to a cluster's store, is not the parent of this process; pass createStore a url .* remove STRONG_STORE_PARENT_/
    ),
    'thread of the worker': ['value', false]
  })
})

t.test('under PM2, whose daemon has no store, calls fail quickly with advice', async t => {
  const [{ outcomes }] = await lines(t, 'no-import', 1, {
    env: { pm_id: '0', exec_mode: 'cluster_mode', CONNECT_TIMEOUT: '60' }
  })
  for (const outcome of outcomes) t.match(outcome, { code: 'STORE_UNREACHABLE', message: /PM2 is the parent of this process .*strong-store serve.* STRONG_STORE_URL .*exec_mode 'fork', instances 1/ })
})

t.test('instances with separate stores warn once, unless that is configured', async t => {
  const program = `const { createStore } = await import(${JSON.stringify(`${HERE}index.js`)}); for (const key of ['a', 'b']) await createStore().collection('c').set(key, 1)`
  const warnings = async (env: NodeJS.ProcessEnv): Promise<number> => {
    const { stderr } = await run(process.execPath, ['--input-type=module', '-e', program], {
      env: { ...process.env, NODE_OPTIONS: '', ...env }
    })
    return (
      stderr.split(
        /\[STORE_NOT_SHARED\] Warning: [\w ]+ several instances of this program.*strong-store serve .*STRONG_STORE_URL=cluster:/
      ).length - 1
    )
  }
  const pm2 = { pm_id: '3', exec_mode: 'fork_mode' }
  t.strictSame(await Promise.all([
    warnings({ ...pm2, NODE_APP_INSTANCE: '1' }), warnings({ ...pm2, NODE_APP_INSTANCE: '0', instances: '2' }),
    warnings({ NODE_APP_INSTANCE: '2' }), warnings({ ...pm2, NODE_APP_INSTANCE: '0', instances: '1' }), warnings({}),
    warnings({ ...pm2, NODE_APP_INSTANCE: '1', STRONG_STORE_URL: 'cluster:' })
  ]), [1, 1, 1, 0, 0, 0])
})

// The package as npm packs it, installed into an empty folder, without Fastify and without this repository.
import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'

const run = promisify(execFile)
const ROOT = fileURLToPath(new URL('../../..', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'package-'))
t.after(() => { rmSync(folder, { recursive: true, force: true }) })

/** Runs a command in that folder, without the options that the test runner passes to every Node.js process. */
async function inFolder (...command: string[]): Promise<string> {
  return (await run('env', ['-u', 'NODE_OPTIONS', ...command], { cwd: folder })).stdout
}
const node = (program: string): Promise<string> => inFolder(process.execPath, program)

// The original's own example, with the module's name changed and nothing else.
const EXAMPLE = `
// get the collection and give it a name
var collection = require('strong-store').collection('test');

// don't let keys expire, ever - the number represents seconds
collection.configure({ expireKeys: 0 });

collection.set('ThisIsMyKey', { a: 0, b: 'Hiya', c: { d: 99}}, function(err) {
  if (err) {
    console.error('There was an error');
    return;
  }

  collection.get('ThisIsMyKey', function(err, obj) {
    if (err) {
      console.error('There was an error in collection.get.');
      return;
    }

    console.log('The object: ',obj);
  });
});
`
const PRINTS = "The object:  { a: 0, b: 'Hiya', c: { d: 99 } }\n"

t.before(async () => {
  const packed = await inFolder('npm', 'pack', '--ignore-scripts', '--json', ROOT)
  const [{ filename }] = JSON.parse(packed) as [{ filename: string }]
  writeFileSync(join(folder, 'package.json'), '{"private": true}')
  await inFolder('npm', 'install', '--prefer-offline', '--no-audit', '--no-fund', `./${filename}`)
})

t.test('the package contains the necessary files, and no others', async t => {
  const installed = readdirSync(join(folder, 'node_modules'))
  t.ok(installed.includes('strong-store'))
  for (const name of ['fastify', 'express', 'typescript', 'tap']) t.notOk(installed.includes(name), name)
  const top = readdirSync(join(folder, 'node_modules/strong-store'))
  t.strictSame(top.sort(), [
    'CHANGELOG.md', 'CONTRIBUTING.md', 'LICENSE', 'README.md', 'bench', 'dist', 'docs', 'examples', 'openapi.yaml',
    'package.json', 'routes', 'src'
  ])
  t.strictSame(readdirSync(join(folder, 'node_modules/strong-store/bench')), ['RESULTS.md'])
  t.strictSame(
    readdirSync(join(folder, 'node_modules/strong-store/dist')).filter(name => name !== 'routes'), ['cjs', 'src'],
    'no tests'
  )
})

t.test("the original's example works without a cluster, in the primary and in a worker", async t => {
  writeFileSync(join(folder, 'example.cjs'), EXAMPLE)
  t.equal(await node('example.cjs'), PRINTS)
  writeFileSync(join(folder, 'primary.cjs'), `
    var cluster = require('cluster')
    if (cluster.isMaster) { require('./example.cjs'); cluster.fork() } else process.disconnect()
  `)
  t.equal(await node('primary.cjs'), PRINTS)
  writeFileSync(join(folder, 'worker.cjs'), `
    var cluster = require('cluster')
    require('strong-store')
    if (cluster.isMaster) cluster.fork().on('message', function (message) { if (message === 'done') process.exit() })
    else {
      var log = console.log
      console.log = function () { log.apply(console, arguments); process.send('done') }
      require('./example.cjs')
    }
  `)
  t.equal(await node('worker.cjs'), PRINTS)
})

t.test('without ioredis, a store in Redis says what to install', async t => {
  writeFileSync(join(folder, 'redis.cjs'), `
    require('strong-store').createStore('redis:').collection('c').get('key').catch(
      ({ code, message }) => { console.log(code, message) }
    )
  `)
  // The package contains the scripts, which are loaded before ioredis.
  t.match(
    await node('redis.cjs'),
    'STORE_UNREACHABLE The store cannot be reached: get of "key" in collection "c": redis://: ' +
    "a store at 'redis:' requires the package ioredis, version 5 or 6: npm install ioredis@6"
  )
})

t.test('without its packages, the admin API says what to install', async t => {
  writeFileSync(join(folder, 'admin.mjs'), `
    import { expressAdmin } from 'strong-store/express'
    try {
      expressAdmin({ url: 'memory:', admin: { token: 'x' } })
    } catch ({ code, message }) {
      console.log(code, message)
    }
  `)
  t.match(
    await node('admin.mjs'),
    /^STORE_OPTION_INVALID .*: the admin API requires the package fastify, version 5: npm install fastify@5\n$/
  )
  const fastify = join(folder, 'node_modules/fastify')
  mkdirSync(fastify)
  writeFileSync(join(fastify, 'package.json'), '{"name":"fastify","version":"4.29.1"}')
  t.match(await node('admin.mjs'), /^STORE_OPTION_INVALID .*: npm install fastify@5, found version 4\.29\.1\n$/)
  rmSync(fastify, { recursive: true })
  // The Fastify of this repository, which saves an installation.
  symlinkSync(join(ROOT, 'node_modules/fastify'), join(folder, 'node_modules/fastify'))
  t.teardown(() => { rmSync(join(folder, 'node_modules/fastify')) })
  writeFileSync(join(folder, 'metrics.mjs'), `
    import Fastify from 'fastify'
    import strongStore from 'strong-store'
    const app = Fastify()
    await app.register(strongStore, { url: 'memory:', admin: { auth: false } })
    const { statusCode, body } = await app.inject('/_store/v1/metrics')
    console.log(statusCode, JSON.parse(body).detail)
    await app.close()
  `)
  t.match(
    await node('metrics.mjs'),
    /^400 metrics require the package @platformatic\/prom-client: npm install @platformatic\/prom-client\n$/
  )
})

t.test('import and require share one store', async t => {
  writeFileSync(join(folder, 'both.mjs'), `
    import { createRequire } from 'node:module'
    import strongStore, { StoreError, collection, createStore } from 'strong-store'
    import { expressStore } from 'strong-store/express'
    const required = createRequire(import.meta.url)('strong-store')
    await createStore().collection('c').set('key', 1)
    const error = await required.createStore().collection('c').get(1).catch(error => error)
    console.log(
      error instanceof StoreError, typeof required.default, typeof expressStore,
      await required.collection('c').promises.get('key')
    )
    if (typeof strongStore !== 'function' || typeof collection !== 'function') throw new Error('something is missing')
  `)
  t.equal(await node('both.mjs'), 'true function function 1\n')
})

t.test('adapters load without their libraries', async t => {
  writeFileSync(join(folder, 'adapters.mjs'), `
    import { KeyvStore } from 'strong-store/keyv'
    import { ExpressRateLimitStore, fastifyRateLimitStore } from 'strong-store/rate-limit'
    import { SessionStore } from 'strong-store/session'
    new SessionStore({ locking: true }).set('sid', { cookie: {} }, async error => {
      await new KeyvStore().set('key', 1)
      console.log(
        error, await new KeyvStore().get('key'),
        await new ExpressRateLimitStore().increment('key').then(({ totalHits }) => totalHits),
        typeof fastifyRateLimitStore()
      )
    })
  `)
  t.equal(await node('adapters.mjs'), 'null 1 1 function\n')
})

t.test('listeners do not accumulate if each test file loads the package again', async t => {
  writeFileSync(join(folder, 'again.cjs'), `
    const cluster = require('cluster')
    const diagnostics = require('diagnostics_channel')
    process.on('warning', warning => { console.log(warning.message) })
    let subscribers = 0
    for (const name of ['subscribe', 'unsubscribe']) {
      const original = diagnostics[name]
      diagnostics[name] = (...args) => { subscribers += name === 'subscribe' ? 1 : -1; return original(...args) }
    }
    const counts = new Set()
    for (let i = 0; i < 20; i++) { // as Jest does: new modules, new globals, the same modules of Node.js
      for (const file of Object.keys(require.cache)) delete require.cache[file]
      for (const key of Object.getOwnPropertySymbols(globalThis)) {
        if (key.description.startsWith('strong-store')) delete globalThis[key]
      }
      const { SessionStore } = require('strong-store/session')
      new SessionStore({ locking: true })
      counts.add(cluster.listenerCount('message') + ' ' + subscribers)
    }
    console.log([...counts].join())
  `)
  t.equal(await node('again.cjs'), '1 4\n')
})

t.test('two copies of the package in one process share one store', async t => {
  const copy = join(folder, 'copy')
  mkdirSync(join(copy, 'node_modules'), { recursive: true })
  cpSync(join(folder, 'node_modules/strong-store'), join(copy, 'node_modules/strong-store'), { recursive: true })
  writeFileSync(join(copy, 'index.cjs'), "module.exports = require('strong-store')")
  writeFileSync(join(folder, 'copies.cjs'), `
    const one = require('strong-store').collection('c')
    const two = require('./copy/index.cjs').collection('c')
    if (one === two) throw new Error('this is one copy')
    one.set('key', 'shared')
    two.get('key', (err, value) => { console.log(err, value) })
  `)
  t.equal(await node('copies.cjs'), 'null shared\n')
})

// Permissions on the server: those listed in docs/redis.md are sufficient, and errors name each missing one.
import { once } from 'node:events'
import t from 'tap'
import { createStore, type Store } from '../../../src/index.js'
import { contract } from '../../contract/suite.js'
import { watching } from '../../contract/watching.js'
import { freePort } from '../../support/ports.js'
import { NO_REDIS, hasRedis, limitedServer, rulesOf, startServer, type Mode } from '../../support/redis.js'
import { until } from '../../support/until.js'

if (hasRedis) await all()
else t.plan(0, NO_REDIS)

async function all (): Promise<void> {
  for (const mode of ['functions', 'scripts'] as const) await withRights(mode)

  t.test('with all permissions, the check causes no error on the server, and leaves no keys', async t => {
    const { options, redis } = await startServer(t)
    const store = createStore(options)
    t.teardown(() => store.close())
    await store.collection('c').get('key')
    t.notMatch(
      await redis.info('errorstats'), /errorstat_(?!ERR:count=[0-6]\b)/,
      'except for commands of newer servers that the client library tries'
    )
    t.strictSame(await redis.keys('*rights*'), [])
  })

  t.test('a command that the server lacks is named immediately', async t => {
    for (const command of ['script', 'evalsha', 'fcall', 'zadd', 'time', 'subscribe']) {
      const without = ['script', 'evalsha'].includes(command) ? ['--rename-command', 'function', ''] : []
      const { options, redis } = await startServer(t, ['--rename-command', command, '', ...without])
      const store = createStore(options)
      t.teardown(() => store.close())
      const errors: string[] = []
      store.on('error', ({ code }) => { errors.push(code) })
      await t.rejects(store.collection('c').set('key', 1), { code: 'STORE_UNREACHABLE', message: new RegExp(command) })
      t.strictSame(errors, ['STORE_UNREACHABLE'])
      const stats = await redis.info('commandstats')
      const count = Array.from(
        stats.matchAll(/calls=(\d+)/g), ([, calls]) => Number(calls)
      ).reduce((sum, calls) => sum + calls, 0)
      t.ok(count < 200, `${command}: ${count} commands`)
    }
  })

  t.test('a server that evicts keys is reported once', async t => {
    const port = await freePort()
    const { redis } = await startServer(
      t, ['--port', String(port), '--bind', '127.0.0.1', '--maxmemory-policy', 'allkeys-lru']
    )
    const warnings: Error[] = []
    const listen = (warning: Error): void => { if (warning.name === 'StrongStoreWarning') warnings.push(warning) }
    process.on('warning', listen)
    t.teardown(() => { process.off('warning', listen) })
    const warned = once(process, 'warning')
    for (let i = 0; i < 3; i++) {
      const store = createStore(`redis://127.0.0.1:${port}`)
      await store.collection('c').set('key', i)
      await warned
      await store.close()
    }
    t.equal(warnings.length, 1)
    t.match(warnings[0]?.message, /127\.0\.0\.1:\d+ evicts keys .*allkeys-lru.*noeviction/s)
    await redis.config('SET', 'maxmemory-policy', 'noeviction')
  })
}

async function withRights (mode: Mode): Promise<void> {
  const { options, path, redis } = await limitedServer(t, mode)
  const rules = rulesOf(mode)
  const at = (user: string, prefix = 'strong-store'): Store => {
    const store = createStore({ url: `redis://${user}:pw@localhost`, redis: { prefix, client: { path } } })
    t.teardown(() => store.close())
    return store
  }
  const lose = (): Promise<unknown> => mode === 'functions' ? redis.call('FUNCTION', 'FLUSH') : redis.script('FLUSH')

  for (const suite of mode === 'scripts' ? [contract, watching] : [watching]) {
    suite(t, `the redis engine with ${mode}, and only the permissions listed in docs/redis.md`, async () => {
      const a = createStore(options)
      const b = createStore(options)
      return { a, b, end: async () => { await Promise.all([a.close(), b.close()]) } }
    })
  }

  t.test(`each missing permission is named, with ${mode}`, async t => {
    // Stands for another connected process. A store would load the lost scripts before the one under test does.
    const other = redis.duplicate()
    t.teardown(() => { other.disconnect() })
    await other.connect()
    await other.subscribe('strong-store:other')
    for (const missing of rules.filter(rule => rule.startsWith('+'))) {
      await redis.call('ACL', 'SETUSER', 'less', 'reset', 'on', '>pw', ...rules.filter(rule => rule !== missing))
      // Recovering scripts that are lost while another process is connected takes every command about scripts.
      await lose()
      await redis.del('none', ...await redis.keys(`strong-store:${mode}:*`))
      const c = at('less').collection('c')
      const message = new RegExp(missing.slice(1).replace('|', '[ |]'))
      for (const call of [c.get('key'), c.set('key', 1)]) {
        await t.rejects(
          call, { code: 'STORE_UNREACHABLE', message }, missing
        )
      }
    }
    for (const [rule, message] of [['~strong-store:*', /key/], ['&strong-store:*', /channel/]] as const) {
      await redis.call('ACL', 'SETUSER', 'less', 'reset', 'on', '>pw', ...rules.filter(other => other !== rule))
      await t.rejects(at('less').collection('c').get('key'), { code: 'STORE_UNREACHABLE', message })
    }
    await redis.call('ACL', 'SETUSER', 'less', 'reset', 'on', '>pw', ...rules)
    await t.rejects(
      at('less', 'other').collection('c').get('key'), { code: 'STORE_UNREACHABLE', message: /channel/ },
      'a prefix without permissions'
    )
    t.strictSame(await redis.keys('*rights*'), [], 'the check leaves no keys')
  })

  t.test(`a database that cannot be selected is named, and never replaced by database 0, with ${mode}`, async t => {
    await redis.call('ACL', 'SETUSER', 'less', 'reset', 'on', '>pw', ...rules)
    const store = createStore({ url: 'redis://less:pw@localhost/5', redis: { client: { path } } })
    t.teardown(() => store.close())
    const c = store.collection('of database 5')
    await t.rejects(c.set('key', 1), { code: 'STORE_UNREACHABLE', message: /database 5: .*select.*Rights on the server/s })
    await redis.call('ACL', 'SETUSER', 'less', '+select')
    await c.set('key', 1)
    await redis.call('ACL', 'SETUSER', 'less', '-select')
    await redis.client('KILL', 'USER', 'less')
    await until(() => c.get('key').then(() => false, ({ code }) => code === 'STORE_UNREACHABLE'))
    await redis.call('ACL', 'SETUSER', 'less', '+select')
    t.equal(await c.get('key'), 1)
    t.notMatch(await redis.keys('*'), [/of database 5/], 'nothing is in database 0')
  })

  t.test(`a revoked permission rejects the next call that needs it, with ${mode}`, async t => {
    const c = at('less').collection('c')
    const run = mode === 'functions' ? 'fcall' : 'evalsha'
    await c.set('key', 1)
    await redis.call('ACL', 'SETUSER', 'less', '-hset')
    await t.rejects(c.set('key', 2), { code: 'STORE_UNREACHABLE', message: /can't run this command/ })
    await redis.call('ACL', 'SETUSER', 'less', '+hset', `-${run}`)
    await t.rejects(c.set('key', 2), { code: 'STORE_UNREACHABLE', message: new RegExp(run) })
    await redis.call('ACL', 'SETUSER', 'less', `+${run}`)
    t.equal(await c.get('key'), 1)
  })
}

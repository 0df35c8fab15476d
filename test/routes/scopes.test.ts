// Tokens with names and scopes: their permissions, and where their names appear.
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import strongStore, { createStore, type StrongStoreOptions } from '../../src/index.js'
import { client, serveAdmin, type Answer, type Ask } from '../support/admin.js'

const ALL = { token: 'all-of-it', name: 'all', access: 'write' }
const CARTS = { token: 'carts-only', name: 'carts', access: 'write', collections: ['carts', 'b/c'] }
const READER = { token: 'reads-carts', name: 'reader', access: 'read', collections: ['carts'] }
type Tokens = Exclude<NonNullable<StrongStoreOptions['admin']>['tokens'], undefined>

const as = (ask: Ask, { token }: { token: string }): Ask => (method, path, { headers = {}, ...options } = {}) => (
  ask(method, path, { ...options, headers: { authorization: `Bearer ${token}`, ...headers } })
)

function refused (t: Test, answer: Answer, status: number, code: string): void {
  t.match(answer, { status, json: { code } })
}

const store = createStore('memory:')
t.teardown(() => store.close())
const { ask } = await serveAdmin(t, store, { tokens: [ALL, CARTS, READER] as Tokens })
const all = as(ask, ALL)
const carts = as(ask, CARTS)
const reader = as(ask, READER)

t.test('a token grants access only to its collections', async t => {
  t.equal((await carts('PUT', '/collections/carts/keys/a', { json: 1 })).status, 201)
  t.equal((await carts('PUT', '/collections/b%2Fc/keys/a', { json: 1 })).status, 201)
  t.equal((await all('PUT', '/collections/users/keys/a', { json: 1 })).status, 201)
  for (const [method, path] of [
    ['GET', '/collections/users'], ['PATCH', '/collections/users'], ['DELETE', '/collections/users'],
    ['GET', '/collections/users/keys'],
    ['GET', '/collections/users/keys/a'], ['HEAD', '/collections/users/keys/a'], ['PUT', '/collections/users/keys/a'],
    ['PATCH', '/collections/users/keys/a'],
    ['DELETE', '/collections/users/keys/a'], ['POST', '/collections/users/locks/a'],
    ['GET', '/collections/users/locks/a'],
    ['DELETE', '/collections/users/locks/a?force=true'], ['GET', '/collections/cart%73x/keys/a'],
    ['GET', '/collections//keys/a']
  ] as const) {
    const answer = await carts(method, path, ['PATCH', 'PUT', 'POST'].includes(method) ? { json: {} } : {})
    if (method === 'HEAD') t.equal(answer.status, 403)
    else refused(t, answer, 403, 'ADMIN_OUT_OF_SCOPE')
  }
  t.equal((await carts('GET', '/collections/c%61rts/keys/a')).text, '1', 'however the name is encoded')
  refused(t, await carts('GET', '/nothing'), 404, 'ADMIN_NOT_FOUND')
  t.equal((await carts('GET', '/openapi.yaml')).status, 200)
})

t.test('lists and statistics are limited to the collections of the token', async t => {
  const lock = await store.collection('users').acquire('locked')
  const mine = await store.collection('carts').acquire('locked')
  const names = (answer: Answer): string[] => answer.json.collections.map(({ name }: { name: string }) => name).sort()
  t.strictSame(names(await carts('GET', '/collections')), ['b/c', 'carts'])
  t.strictSame(names(await reader('GET', '/collections')), ['carts'])
  const first = await carts('GET', '/collections?limit=1')
  t.strictSame(names(first), ['b/c'])
  const second = await carts('GET', `/collections?limit=1&cursor=${first.json.cursor}`)
  t.strictSame([names(second), second.json.cursor], [['carts'], undefined], 'also in pages')
  t.strictSame(names(await all('GET', '/collections')), ['b/c', 'carts', 'users'])
  t.match((await carts('GET', '/locks')).json.locks, [{ collection: 'carts' }])
  t.equal((await carts('GET', '/locks')).json.locks.length, 1)
  t.equal((await all('GET', '/locks')).json.locks.length, 2)
  const { json } = await carts('GET', '/stats')
  t.match(json, { collections: 2, keys: 2, locks: 1, maxValueBytes: 2 ** 20 })
  t.equal(json.processes, undefined)
  t.match((await reader('GET', '/metrics')).text, /^strong_store_keys 1$/m)
  t.match((await all('GET', '/stats')).json, { collections: 3, keys: 3, locks: 2, processes: 1 })
  await lock.release()
  await mine.release()
})

t.test('a read token changes nothing, not even the idle time of a key', async t => {
  for (const [method, path] of [
    ['PUT', '/collections/carts/keys/a'], ['PATCH', '/collections/carts/keys/a'],
    ['DELETE', '/collections/carts/keys/a'],
    ['POST', '/collections/carts/locks/a'], ['PATCH', '/collections/carts/locks/a'],
    ['DELETE', '/collections/carts/locks/a?force=true'],
    ['PATCH', '/collections/carts'], ['DELETE', '/collections/carts']
  ] as const) refused(t, await reader(method, path, method === 'DELETE' ? {} : { json: {} }), 403, 'ADMIN_READ_ONLY')
  await store.collection('carts').configure({ expireKeys: 1000, maxKeys: 2 })
  await store.collection('carts').set('older', 1)
  await store.collection('carts').set('newer', 1)
  t.equal((await reader('GET', '/collections/carts/keys/older')).text, '1')
  t.equal((await reader('HEAD', '/collections/carts/keys/older')).status, 200)
  t.equal((await carts('GET', '/collections/carts/keys/older?peek=true')).text, '1')
  await store.collection('carts').set('newest', 1)
  t.equal((await carts('GET', '/collections/carts/keys/older')).status, 404, 'it is still the least recently used key')
  t.equal((await carts('GET', '/collections/carts/keys/newer')).text, '1')
  await store.collection('carts').set('next', 1)
  t.equal(
    (await carts('GET', '/collections/carts/keys/newer')).text, '1', 'a read with a write token is a use'
  )
})

t.test('the name of the token is in the owner of its locks', async t => {
  const owner = async (ask: Ask, json?: object): Promise<string> => {
    const { json: grant } = await ask('POST', '/collections/carts/locks/named', { json: json ?? {} })
    t.equal((await all('GET', '/collections/carts/locks/named')).json.owner, grant.owner)
    await ask('DELETE', '/collections/carts/locks/named', { headers: { 'lock-token': grant.token } })
    return grant.owner
  }
  t.equal(await owner(carts), 'http carts 127.0.0.1')
  t.equal(await owner(carts, { owner: 'job 7' }), 'job 7 (carts)')
  t.equal(await owner(ask), 'http 127.0.0.1', 'the short form has no name')
  t.equal(await owner(ask, { owner: 'job 7' }), 'job 7')
})

t.test('tokens can be rotated without a restart, and a failing list denies access', async t => {
  const lines: string[] = []
  let tokens: unknown = [ALL]
  const source = async (): Promise<never> => {
    if (tokens instanceof Error) throw tokens
    return tokens as never
  }
  const app = Fastify({ logger: { stream: { write: (line: string) => { lines.push(line) } } } })
  await app.register(strongStore, { store, admin: { token: 'short-form', tokens: source } })
  const { ask, close } = client(await app.listen({ port: 0, host: '127.0.0.1' }), '/_store/v1')
  t.teardown(async () => {
    await close()
    await app.close()
  })
  const status = async (token: object): Promise<number> => (
    await as(ask, token as { token: string })('GET', '/collections/carts')
  ).status
  t.equal(await status(ALL), 200)
  t.equal(await status(CARTS), 401)
  tokens = [CARTS, READER]
  t.equal(await status(ALL), 401)
  t.equal(await status(CARTS), 200)
  ;(tokens as object[]).shift()
  t.equal(await status(CARTS), 401, 'the list was changed in place')
  for (const broken of [
    new Error(`the file with ${CARTS.token} is gone`), undefined, [CARTS, { ...READER, access: 'all' }],
    [CARTS, CARTS], 'carts-only'
  ]) {
    tokens = broken
    refused(t, await as(ask, CARTS)('GET', '/collections/carts'), 503, 'ADMIN_TOKENS_UNAVAILABLE')
  }
  t.equal(await status({ token: 'short-form' }), 200, 'the short form does not need the list')
  const log = lines.join('')
  t.match(log, /"adminToken":"carts".*"request completed"/)
  t.match(
    log,
    /"reason":"invalid admin\.tokens\[1\]\.access: expected 'read' or 'write'".*"the function admin\.tokens failed"/
  )
  for (const { token } of [ALL, CARTS, READER]) t.notOk(log.includes(token))
})

t.test('an invalid list is rejected at startup, in messages without tokens', async t => {
  for (const [tokens, message] of [
    ['x', /invalid admin\.tokens: expected an array or a function/],
    [[5], /invalid admin\.tokens\[0\]: expected an object/],
    [[{ ...ALL, token: 'a b' }], /invalid admin\.tokens\[0\]\.token: expected visible ASCII characters$/],
    [
      [ALL, { ...CARTS, token: ALL.token }],
      /invalid admin\.tokens\[1\]\.token: expected a token that differs from the others$/
    ],
    [[{ ...ALL, name: '' }], /invalid admin\.tokens\[0\]\.name: expected 1 to 128 printable characters/],
    [[{ ...ALL, name: 'a\nb' }], /\.name: expected/],
    [[{ ...ALL, name: 'x'.repeat(129) }], /\.name: expected/],
    [[{ ...ALL, access: undefined }], /\.access: expected 'read' or 'write'/],
    [[{ ...ALL, collections: 'carts' }], /\.collections: expected an array of names/],
    [[{ ...ALL, collections: ['\ud800'] }], /surrogate/],
    [[{ ...ALL, scope: 'x' }], /unknown option "scope"/]
  ] as Array<[Tokens, RegExp]>) {
    const app = Fastify()
    const registered = Promise.resolve(app.register(strongStore, { store, admin: { tokens } }))
    await t.rejects(registered, { code: /^STORE_(OPTION|NAME)_INVALID$/, message })
  }
  const app = Fastify()
  await t.rejects(
    Promise.resolve(app.register(strongStore, { store, admin: { token: ALL.token, tokens: [ALL] as Tokens } })),
    { message: /"all" has the same token as admin\.token or admin\.readToken/ }
  )
})

// The example server, as `npm start` runs it.
import { execFile, spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { Agent, request } from 'undici'
import { start } from '../support/programs.js'
import { NO_REDIS, hasRedis, startServer } from '../support/redis.js'
import { until } from '../support/until.js'

interface Answer { worker: number, [field: string]: unknown }

t.test('the example server: several workers, one state, a clean end', async t => { await serves(t) })

t.test('the same in Redis', { skip: !hasRedis && NO_REDIS }, async t => {
  const { options } = await startServer(t)
  await serves(t, { STRONG_STORE_URL: options.url, WORKERS: '2' })
})

async function serves (t: Test, env: NodeJS.ProcessEnv = {}): Promise<void> {
  const { child, folder, nextLine, ended, signal } = start(t, 'examples/server.js', { env: { PORT: '0', ...env } })
  let line
  let url: string | undefined
  const commands: string[] = []
  do {
    line = await nextLine()
    url ??= /http:\/\/localhost:\d+/.exec(line)?.[0]
    if (line.startsWith('  curl ')) commands.push(line)
  } while (!line.startsWith('Ctrl-C'))

  const workers = new Set<number>()
  const call = async (method: 'GET' | 'POST', path: string, json?: object, headers: Record<string, string> = {}) => {
    const dispatcher = new Agent({ pipelining: 0 }) // a connection of its own, so that any worker may answer
    const { statusCode, headers: answered, body } = await request(url + path, {
      method,
      dispatcher,
      headers: { ...headers, ...(json && { 'content-type': 'application/json' }) },
      body: json === undefined ? null : JSON.stringify(json)
    })
    const answer = await body.json() as Answer
    if (answer.worker !== undefined) workers.add(answer.worker)
    await dispatcher.close()
    return { statusCode, answer, headers: answered }
  }

  const counts = await Promise.all(Array.from({ length: 40 }, () => call('POST', '/counter')))
  t.strictSame(
    counts.map(({ answer }) => answer.count as number).sort((a, b) => a - b),
    Array.from({ length: 40 }, (_, i) => i + 1)
  )
  await Promise.all(Array.from({ length: 40 }, (_, i) => call('POST', '/carts/42', { item: `item ${i}` })))
  const { answer } = await call('GET', '/carts/42')
  t.equal((answer.items as string[]).length, 40)
  t.equal((await call('GET', '/carts/none')).statusCode, 404)
  t.equal((await call('POST', '/carts/42', {})).statusCode, 400)

  t.equal((await call('GET', '/me')).statusCode, 401)
  const login = await call('POST', '/login', { name: 'Ada' })
  const cookie = String(login.headers['set-cookie']).split(';')[0]!
  const visits = await Promise.all(Array.from({ length: 20 }, () => call('GET', '/me', undefined, { cookie })))
  t.strictSame(
    visits.map(({ answer }) => answer.visits as number).sort((a, b) => a - b),
    Array.from({ length: 20 }, (_, i) => i + 1)
  )
  t.equal(visits[0]!.answer.name, 'Ada')
  await until(async () => {
    await call('GET', '/me', undefined, { cookie })
    return workers.size > 1
  })

  t.equal(commands.length, 9)
  const hasCurl = spawnSync('curl', ['--version']).status === 0
  if (!hasCurl) t.comment('curl is not installed: its lines are left out')
  else {
    for (const command of commands) {
      const { stdout } = await promisify(execFile)(
        'sh', ['-c', `${command.replaceAll('/tmp/cookies', `${folder}/cookies`)} -s --fail-with-body`]
      )
      t.ok(stdout.startsWith('{') || /^\d+$/.test(stdout), `${command}: ${stdout}`)
    }
    await promisify(execFile)('rm', ['-f', `${folder}/cookies`])
  }
  const health = await request(`${url}/_store/v1/health`)
  t.match([health.statusCode, await health.body.json()], [200, { status: 'ok' }])
  t.match(
    health.headers, { 'x-ratelimit-limit': '1000', 'x-ratelimit-remaining': /^\d+$/ },
    'the limits of the app are those of the admin API, as openapi.yaml says'
  )
  const docs = await request(`${url}/docs/`)
  t.match(
    [docs.statusCode, docs.headers['content-security-policy'], await docs.body.text()],
    [200, /default-src 'self'/, /swagger/]
  )

  const [victim] = workers
  process.kill(victim!, 'SIGKILL')
  t.match(await nextLine(), `worker ${victim} has gone`)
  t.equal((await call('POST', '/counter')).answer.count, hasCurl ? 42 : 41)

  signal('SIGINT')
  t.strictSame(await ended, [0, null])
  t.throws(() => process.kill(-child.pid!, 0), { code: 'ESRCH' }, 'no process is left')
  t.strictSame(readdirSync(folder), [], 'no file either')
}

// The examples of what serves other libraries, as their lines in package.json run them.
import { readFileSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { io } from 'socket.io-client'
import t, { type Test } from 'tap'
import { Agent, request } from 'undici'
import { start } from '../support/programs.js'
import { until } from '../support/until.js'

interface Answer {
  status: number
  body: any
  cookie: string
}

type Call = (method: 'GET' | 'POST' | 'PUT', path: string, cookie?: string) => Promise<Answer>

const { scripts } = JSON.parse(
  readFileSync(fileURLToPath(new URL('../../../package.json', import.meta.url)), 'utf8')
) as { scripts: Record<string, string> }

/** Runs an example while `use` asks it, then stops it as Ctrl-C does. */
async function run (
  t: Test, name: string,
  use: (call: Call, url: string) => Promise<void>
): Promise<void> {
  t.match(scripts[`example:${name}`], `dist/examples/${name}.js`)
  const { child, folder, nextLine, ended, signal } = start(t, `examples/${name}.js`, {
    env: { PORT: '0', WORKERS: '2' }
  })
  let url: string | undefined
  for (let line = ''; !line.startsWith('Ctrl-C');) {
    line = await nextLine()
    url ??= /http:\/\/localhost:\d+/.exec(line)?.[0]
  }
  const dispatcher = new Agent({ pipelining: 0 }) // a connection for each request, so that any worker may answer
  await use(async (method, path, cookie = '') => {
    const { statusCode, headers, body } = await request(url + path, { method, dispatcher, headers: { cookie } })
    const text = await body.text()
    return {
      status: statusCode,
      body: text === '' ? undefined : JSON.parse(text),
      cookie: String(headers['set-cookie']).split(';')[0]!
    }
  }, url!)
  await dispatcher.close()
  signal('SIGINT')
  t.strictSame(await ended, [0, null])
  t.throws(() => process.kill(-child.pid!, 0), { code: 'ESRCH' }, 'no process is left')
  t.strictSame(readdirSync(folder), [], 'no file either')
}

const times = async <T>(count: number, fn: () => Promise<T>): Promise<T[]> =>
  await Promise.all(Array.from({ length: count }, fn))

t.test('sessions', async t => {
  await run(t, 'sessions', async call => {
    t.equal((await call('GET', '/me')).status, 401)
    const { cookie } = await call('GET', '/login?name=Ada')
    const visits = await times(12, () => call('GET', '/me', cookie))
    t.strictSame(
      visits.map(({ body }) => body.visits).sort((a, b) => a - b), Array.from({ length: 12 }, (_, i) => i + 1)
    )
    const workers = new Set(visits.map(({ body }) => body.worker))
    await until(async () => workers.add((await call('GET', '/me', cookie)).body.worker).size > 1)
    t.equal((await call('GET', '/logout', cookie)).status, 200)
    t.equal((await call('GET', '/me', cookie)).status, 401)

    const [one, two, bob] = await Promise.all(
      ['Ada', 'Ada', 'Bob'].map(async name => (await call('GET', `/login?name=${name}`)).cookie)
    ) as [string, string, string]
    t.equal((await call('POST', '/logout-everywhere', one)).body.sessions, 2)
    t.strictSame(
      await Promise.all([one, two, bob].map(async cookie => (await call('GET', '/me', cookie)).status)),
      [401, 401, 200]
    )
  })
})

t.test('rate-limit', async t => {
  await run(t, 'rate-limit', async call => {
    t.equal((await times(20, () => call('GET', '/'))).filter(({ status }) => status === 200).length, 10)
    t.equal((await times(10, () => call('POST', '/login'))).filter(({ status }) => status === 200).length, 3)
  })
})

t.test('cache', async t => {
  await run(t, 'cache', async call => {
    const [first, ...others] = await times(8, () => call('GET', '/reports/2026'))
    for (const { body } of others) t.strictSame(body.report, first!.body.report, 'one has computed it for all')
    t.equal((await call('GET', '/notes/tea')).status, 404)
    t.equal((await call('PUT', '/notes/tea?text=green')).status, 204)
    for (const { body } of await times(4, () => call('GET', '/notes/tea'))) t.equal(body.note, 'green')
  })
})

t.test('nest', async t => {
  await run(t, 'nest', async call => {
    t.equal((await times(20, () => call('GET', '/'))).filter(({ status }) => status === 200).length, 10)
  })
})

t.test('http-cache', async t => {
  await run(t, 'http-cache', async call => {
    await until(async () => {
      const [first, ...others] = await times(4, () => call('GET', '/time'))
      return others.every(({ body }) => body.by === first!.body.by)
    })
    t.equal((await call('PUT', '/notes/tea?text=green')).status, 200)
    for (const { body } of await times(4, () => call('GET', '/notes/tea'))) t.equal(body.note, 'green')
  })
})

t.test('jobs', async t => {
  await run(t, 'jobs', async call => {
    const runs = await until(async () => {
      const { body } = await call('GET', '/runs')
      return body.length > 2 && body
    }, 30)
    const due = runs.map(({ due }: { due: string }) => due)
    t.strictSame(due, [...new Set(due)], 'one worker has run it at each of its times')
  })
})

t.test('live', async t => {
  await run(t, 'live', async (call, url) => {
    const pages = await times(4, async () => {
      const response = await fetch(`${url}/events`, { headers: { connection: 'close' } })
      return response.body!.pipeThrough(new TextDecoderStream()).getReader()
    })
    await times(8, () => call('POST', '/votes/tea'))
    for (const page of pages) {
      let text = ''
      while (!text.includes('"value":8')) text += (await page.read()).value!
      await page.cancel()
    }
  })
})

t.test('chat', async t => {
  await run(t, 'chat', async (_, url) => {
    t.match(await (await fetch(url, { headers: { connection: 'close' } })).text(), /Chat/)
    const sockets = await times(6, async () => {
      const socket = io(url, { transports: ['websocket'], forceNew: true, reconnection: false })
      await new Promise<void>(resolve => { socket.once('connect', resolve) })
      socket.emit('join', 'room')
      return socket
    })
    const found = new Map(sockets.map(socket => [socket, new Set<string>()]))
    for (const [socket, workers] of found) {
      socket.on('said', (text: string) => { workers.add(text.slice(0, text.indexOf(':'))) })
    }
    await until(() => {
      for (const socket of sockets) socket.emit('say', 'hello')
      return [...found.values()].every(({ size }) => size > 1)
    })
  })
})

// Runs the packed package under PM2, as docs/store-process.md says: the store as an app in fork mode, four workers in cluster
// mode, `pm2 reload` under load. Needs the npm registry; run by hand: node .ci/pm2/run.mjs
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const PM2 = 'pm2@7.0.4'
const LANES = 16
const RELOADS = 3

const folder = mkdtempSync(join(tmpdir(), 'pm2-'))
const port = await new Promise(resolve => {
  const server = createServer().listen(0, '127.0.0.1', () => {
    const { port } = server.address()
    server.close(() => { resolve(port) })
  })
})
const env = { ...process.env, PM2_HOME: join(folder, 'pm2'), STORE_SOCKET: join(folder, 'store.sock'), APP_PORT: String(port) }
const run = async (...command) => (await promisify(execFile)(command[0], command.slice(1), { cwd: folder, env })).stdout
const pm2 = (...args) => run('node_modules/.bin/pm2', '--no-color', ...args)
const ask = async (method, path) => {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, {
    method, headers: { connection: 'close' }, signal: AbortSignal.timeout(10_000) // a connection that a worker took as it ended
  })
  return { status: response.status, body: await response.text() }
}

try {
  const { filename } = JSON.parse(await run('npm', 'pack', '--ignore-scripts', '--json', ROOT))[0]
  writeFileSync(join(folder, 'package.json'), '{"private": true}')
  await run('npm', 'install', '--no-audit', '--no-fund', '--silent', `./${filename}`, 'fastify@5', PM2)
  cpSync(fileURLToPath(new URL('files', import.meta.url)), folder, { recursive: true })
  await pm2('start', 'ecosystem.config.cjs')

  await ask('POST', '/login/ada')
  const course = { isOver: false }
  const figures = { requests: 0, hits: 0, visits: 0, refused: 0 }
  const pids = new Set()
  const lane = async () => {
    while (!course.isOver) {
      figures.requests += 3
      try {
        const hits = await ask('POST', '/hits')
        assert.equal(hits.status, 200, hits.body)
        figures.hits++
        const visit = await ask('GET', '/me/ada')
        assert.equal(visit.status, 200, visit.body)
        figures.visits++
        pids.add(JSON.parse((await ask('GET', '/ping')).body).pid)
      } catch (error) {
        if (error instanceof assert.AssertionError) throw error
        figures.refused++ // by a worker that was closing
      }
    }
  }
  const load = Promise.all(Array.from({ length: LANES }, lane))
  load.catch(() => {})
  for (let i = 0; i < RELOADS; i++) {
    await delay(500)
    await pm2('reload', 'app')
  }
  course.isOver = true
  await load
  const total = JSON.parse((await ask('POST', '/hits')).body).hits - 1
  const { visits } = JSON.parse((await ask('GET', '/me/ada')).body)
  assert.ok(total >= figures.hits && total <= figures.hits + figures.refused, `${total} counted, ${figures.hits} answered, ${figures.refused} unanswered`)
  assert.ok(visits - 1 >= figures.visits && visits - 1 <= figures.visits + figures.refused)
  assert.ok(pids.size > 4, 'the workers were exchanged')
  console.log(JSON.stringify({ ...figures, workers: pids.size, total }))

  // The store restarts: its memory is gone, the workers stay and go on.
  await pm2('restart', 'store')
  assert.equal((await ask('POST', '/hits')).body, '{"hits":1}')
  assert.equal((await ask('GET', '/me/ada')).status, 401)
  console.log('held')
} finally {
  await pm2('kill').catch(() => {})
  rmSync(folder, { recursive: true, force: true })
}

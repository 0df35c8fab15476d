// The files of docs/store-process.md under PM2: the store in fork mode, four workers in cluster mode, `pm2 reload`
// under load. No request may be refused, and each must be counted once.
import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { blocksOf, freePort, post } from './programs.mjs'
import { mustRun, project } from '../checks.mjs'

const LANES = 16
const RELOADS = 3
const ROUTES = `export default async app => {
  const sessions = request => request.store.collection('sessions')
  app.post('/ping', async () => ({ pid: process.pid }))
  app.post('/hits', async request => ({ hits: await request.store.collection('counters').increment('hits') }))
  app.post('/login', async request => { await sessions(request).set('ada', { visits: 0 }) })
  app.post('/me', async (request, reply) => {
    const session = await sessions(request).update('ada', found => found && { visits: found.visits + 1 })
    return session ?? reply.code(401).send({})
  })
}`

export async function pm2 () {
  const folder = await project('pm2', ['fastify@5', 'pm2@7.0.4'])
  const port = await freePort()
  for (const [name, text] of await blocksOf('PM2')) {
    const here = text.replaceAll('/run/app/store.sock', join(folder, 'socket')).replaceAll("'3000'", `'${port}'`)
    await writeFile(join(folder, name), here.replace('{ port:', "{ host: '127.0.0.1', port:"))
  }
  await writeFile(join(folder, 'routes.mjs'), ROUTES)
  const env = ['env', `PM2_HOME=${join(folder, 'home')}`]
  const run = (...args) => mustRun(folder, ...env, 'node_modules/.bin/pm2', '--no-color', ...args)
  try {
    await run('start', 'ecosystem.config.cjs')
    await reload(run, path => post(port, path))
  } finally {
    await run('kill').catch(() => {})
  }
}

async function reload (run, ask) {
  const count = { hits: 0, me: 0 }
  const pids = new Set()
  const course = { isOver: false }
  const refused = []
  const lane = async () => {
    while (!course.isOver) {
      try {
        for (const path of ['hits', 'me']) {
          await ask(`/${path}`)
          count[path]++
        }
        pids.add((await ask('/ping')).pid)
      } catch (error) {
        refused.push(error.cause?.code ?? error.message)
      }
    }
  }
  await ask('/login')
  const load = Promise.all(Array.from({ length: LANES }, lane))
  for (let i = 0; i < RELOADS; i++) {
    await delay(500)
    await run('reload', 'app')
  }
  course.isOver = true
  await load
  console.log(`PM2: ${count.hits + count.me} requests to ${pids.size} workers`)
  assert.deepEqual(refused, [], 'no request is refused')
  assert.equal(pids.size, 4 * (RELOADS + 1), 'all workers are replaced by each reload')
  assert.equal((await ask('/hits')).hits - 1, count.hits, 'each request is counted once')
  assert.equal((await ask('/me')).visits - 1, count.me, 'the session is kept')

  await run('restart', 'store')
  assert.deepEqual(await ask('/hits'), { hits: 1 }, 'the workers find the new store')
  await assert.rejects(ask('/me'), /401/)
}

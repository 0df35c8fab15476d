// Attack: every route of openapi.yaml with parameters, headers, bodies and orders of calls that come by chance. Every answer is
// one that the document knows, none is a 500, and no value is found under another key.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import Fastify, { type InjectOptions } from 'fastify'
import { createStore, strongStore } from '../../src/index.js'
import { random, type Attack } from './attack.js'

const PREFIX = '/s'
const COLLECTIONS = ['c', 'd', '__proto__', 'ä/ö', ' ', 'x'.repeat(1024), 'x'.repeat(1025)]
const KEYS = ['k', 'l', 'a/b', '__proto__', '😀', '%', '...', '?&#', 'y'.repeat(1024), 'y'.repeat(1025)]

/** The statuses that openapi.yaml gives for each method of each path. It is generated: what stands where tells what it is. */
function documented (): Map<string, Set<number>> {
  const statuses = new Map<string, Set<number>>()
  let path = ''
  let operation = ''
  for (const line of readFileSync(new URL('../../../openapi.yaml', import.meta.url), 'utf8').split('\n')) {
    path = /^ {2}(\/\S*):$/.exec(line)?.[1] ?? path
    const method = /^ {4}(get|put|post|patch|delete):$/.exec(line)?.[1]
    if (method !== undefined) statuses.set(operation = `${method.toUpperCase()} ${path}`, new Set())
    const status = /^ {8}"(\d{3})":$/.exec(line)?.[1]
    if (status !== undefined) statuses.get(operation)!.add(Number(status))
  }
  return statuses
}

export const http: Attack = async ({ seed, rounds, secondsLeft, owner }) => {
  const next = random(seed)
  const pick = <T>(...list: T[]): T => list[Math.floor(next() * list.length)]!
  const maybe = <T>(share: number, value: T): T | undefined => next() < share ? value : undefined
  const store = createStore('memory:')
  const app = Fastify()
  await app.register(strongStore, { store, admin: { prefix: PREFIX, auth: false } })
  owner.teardown(async () => {
    await app.close()
    await store.close()
  })
  const operations = documented()
  assert.ok(operations.size >= 15)
  const values = [...operations].filter(([operation]) => /^(PUT|GET) .*keys\/\{key\}$/.test(operation))
  const tokens = ['no-such-token']
  const versions = ['"1"', '*', 'W/"1"', '"0", "1"', 'nonsense', '']
  const counts: Record<string, number> = { requests: 0 }
  while (counts.requests! < rounds && secondsLeft() > 0) {
    const [operation, statuses] = pick(...operations, ...values, ...values)
    const [method, template] = operation.split(' ') as [string, string]
    const [collection, key] = next() < 0.5 ? [pick('c', 'd'), pick('k', 'l')] : [pick(...COLLECTIONS), pick(...KEYS)]
    const path = template.replace('{collection}', encodeURIComponent(collection)).replace('{key}', encodeURIComponent(key))
    const isPlain = next() < 0.5 // or hardly any would come through
    const query = isPlain
      ? ''
      : [maybe(0.1, `ttl=${pick('10', '0.01', '0', '-1', 'x', '1e999')}`), maybe(0.2, `release=${pick('true', 'false', 'x')}`),
          maybe(0.1, `force=${pick('true', 'x')}`), maybe(0.1, `prefix=${pick('k', '%F0')}`), maybe(0.1, `cursor=${pick('0', '99', 'x', '-1')}`),
          maybe(0.1, `limit=${pick('1', '0', '99999', 'x')}`), maybe(0.05, 'unknown=1')].filter(part => part !== undefined).join('&')
    const value = { collection, key, n: counts.requests }
    const body = method === 'PUT' && next() < 0.7
      ? JSON.stringify(value)
      : pick(
        () => JSON.stringify(value), () => String(counts.requests), () => '{"increment":1}', () => '{"increment":1,"ttl":5}', () => '{"touch":true}', () => '{"lease":0.05}',
        () => '{"lease":20,"owner":"somebody"}', () => '{"maxKeys":5}', () => '{"expireKeys":-1}', () => '{}', () => '', () => '{', () => 'null', () => '"\\ud800"',
        () => `"${'x'.repeat(pick(1000, 1_048_574, 1_048_575, 1_200_000))}"`, () => '['.repeat(100_000)
      )()
    const headers: Record<string, string | undefined> = {
      'content-type': method === 'GET' || method === 'DELETE' ? undefined : isPlain ? 'application/json' : pick('application/json', 'text/plain', undefined),
      'if-match': maybe(isPlain ? 0 : 0.1, pick(...versions)),
      'if-none-match': maybe(isPlain ? 0 : 0.1, pick(...versions)),
      'lock-token': maybe(0.3, pick(...tokens.slice(-5))),
      prefer: maybe(0.1, pick('wait=0', 'wait=0.01', 'wait=x', 'respond-async'))
    }
    const request = {
      method: method === 'GET' ? pick('GET', 'GET', 'HEAD') : method,
      url: `${PREFIX}${path}${query === '' ? '' : `?${query}`}`,
      headers: Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== undefined)),
      ...(method === 'GET' || method === 'DELETE' ? {} : { payload: body })
    } as InjectOptions
    const answer = await app.inject(request)
    counts.requests!++
    counts[answer.statusCode] = (counts[answer.statusCode] ?? 0) + 1
    const what = `--seed ${seed}, ${JSON.stringify(request).slice(0, 600)} answers ${answer.statusCode} ${answer.body.slice(0, 300)}`
    assert.ok(statuses.has(answer.statusCode), `not in openapi.yaml: ${what}`)
    if (answer.statusCode >= 400 && request.method !== 'HEAD') {
      assert.match(String(answer.headers['content-type']), /^application\/problem\+json/, what)
      assert.equal(answer.json<{ status: number }>().status, answer.statusCode, what)
      assert.ok(answer.json<{ code?: string }>().code !== undefined, what)
    }
    if (request.method === 'GET' && template.endsWith('/keys/{key}') && answer.statusCode === 200) {
      const found = answer.json<{ collection?: string, key?: string } | null>()
      if (typeof found === 'object' && found?.key !== undefined) {
        assert.deepEqual([found.collection, found.key], [collection, key], `a value of another key: ${what}`)
        counts['values compared'] = (counts['values compared'] ?? 0) + 1
      }
    }
    if (answer.headers['lock-token'] !== undefined) tokens.push(String(answer.headers['lock-token']))
    if (answer.headers.etag !== undefined) versions.push(String(answer.headers.etag))
    if (versions.length > 20) versions.splice(6, 10)
  }
  assert.ok(counts['values compared']! > 0)
  return counts
}

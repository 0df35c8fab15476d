// Attack: random requests to every route of openapi.yaml. Every response, including headers, must match the document;
// values must not appear under other keys, locks must reject other tokens, and conditions must hold.
import assert from 'node:assert/strict'
import Fastify, { type InjectOptions, type LightMyRequestResponse } from 'fastify'
import { createStore, strongStore } from '../../src/index.js'
import { random, type Attack } from './attack.js'
import { Description } from './description.js'
import { Memory } from './memory.js'

const PREFIX = '/s'
const COLLECTIONS = ['c', 'd', '__proto__', 'ä/ö', ' ', 'x'.repeat(1024), 'x'.repeat(1025)]
const KEYS = ['k', 'l', 'a/b', '__proto__', '😀', '%', '...', '?&#', 'y'.repeat(1024), 'y'.repeat(1025)]
/**
 * Keys with numeric values. A number cannot contain the name of its key, so the values of each key are multiples of a
 * number that identifies it.
 */
const NUMBERS = new Map([['n', 1009], ['m', 1013]])

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
  const description = await Description.read()
  const operations = description.operations.filter(operation => !operation.endsWith('/events')) // endless
  assert.ok(operations.length >= 15)
  const values = operations.filter(operation => /^(PUT|GET) .*keys\/\{key\}$/.test(operation))
  const tokens = ['no-such-token']
  const versions = ['"1"', '*', 'W/"1"', '"0", "1"', 'nonsense', '']
  const memory = new Memory()
  const counts: Record<string, number> = { requests: 0, 'values compared': 0, 'foreign tokens': 0, 'conditions met': 0 }
  const count = (what: string | number): void => { counts[what] = (counts[what] ?? 0) + 1 }

  const callOf = (collection: string, key: string): object => ({
    op: pick(
      'get', 'entry', 'head', 'set', 'del', 'touch', 'increment', 'acquire', 'release', 'renew', 'scan', 'dump',
      'size', 'lock',
      'locks', 'collections', 'configure', 'clear', 'watch', 'publish', 'subscribe', 'nothing'
    ),
    collection,
    key,
    ...pick({ nowait: true }, { timeout: 10 }),
    ...maybe(0.5, { text: pick(JSON.stringify({ collection, key }), '{', '{"maxKeys":0}') }),
    ...maybe(0.2, { token: pick('x', ...tokens.slice(-5)) }),
    ...maybe(
      0.2,
      pick<object>(
        { lease: 10 }, { lease: -1 }, { ttl: 5 }, { number: 1 }, { number: 'x' }, { unconfirmed: true },
        { release: true }, { cursor: 'x' }, { more: 1 }
      )
    )
  })

  /** Each value names its key; other values are rejected. */
  const bodyOf = (method: string, template: string, collection: string, key: string): string => {
    const step = NUMBERS.get(key)
    if (next() < 0.1) return pick('', '{', '['.repeat(100_000), 'null,', '{"expireKeys":-1')
    if (template.endsWith('/get')) {
      return JSON.stringify(pick(['k', 'l'], ['k', 'k', '__proto__'], [], ['y'.repeat(1025)], [1]))
    }
    if (template.endsWith('/set')) {
      return JSON.stringify(
        ['k', 'l'].map(
          key => ({ key, value: { collection, key, n: counts.requests }, ...pick({}, { ttl: 0.01 }, { ttl: -1 }) })
        )
      )
    }
    if (template === '/import') {
      const line = (key: string): string =>
        JSON.stringify(
          pick<object>(
            { collection, key, value: { collection, key, n: counts.requests } },
            { collection, options: { maxKeys: 5 } }
          )
        )
      return pick(`${line('k')}\n${line('l')}`, `${line('k')}\n{`)
    }
    if (template === '/calls') {
      return JSON.stringify(Array.from({ length: 4 }, () => callOf(pick(...COLLECTIONS), pick('k', 'l'))))
    }
    if (method === 'PUT') {
      const rest = pick('', '', '\ud800', 'z'.repeat(pick(10, 1000)), 'z'.repeat(1_048_400), 'z'.repeat(1_200_000))
      return JSON.stringify(
        step === undefined ? { collection, key, n: counts.requests, rest } : step * counts.requests!
      )
    }
    if (method === 'POST') {
      return pick(
        '', ...Array<string>(6).fill('{"lease":0.01}'), '{"lease":20,"owner":"somebody"}', '{}', 'null',
        '{"expireKeys":-1}'
      )
    }
    const changes = step === undefined
      ? []
      : [
      `{"increment":${step}}`, `{"increment":${step},"ttl":5}`, `{"increment":${-step},"down":true}`
        ]
    return pick(
      ...changes, ...changes, '{"touch":true}', '{"touch":true,"ttl":0.01}', '{"lease":0.05}', '{"lease":20}',
      '{"maxKeys":5}', '{"maxBytes":5000}', '{"maxKeys":0,"maxBytes":0}', '{"expireKeys":-1}', '{}', 'null'
    )
  }

  const ask = async (
    request: InjectOptions, operation: string
  ): Promise<{ answer: LightMyRequestResponse; what: string }> => {
    const answer = await app.inject(request)
    count('requests')
    count(answer.statusCode)
    const what = `--seed ${seed}, ${JSON.stringify(request).slice(0, 600)} answers ${answer.statusCode} ${answer.body.slice(0, 300)}`
    description.check(operation, request.method === 'HEAD', answer, what)
    if (answer.statusCode >= 400 && request.method !== 'HEAD') {
      assert.equal(answer.json<{ status: number }>().status, answer.statusCode, what)
    }
    return { answer, what }
  }

  while (counts.requests! < rounds && secondsLeft() > 0) {
    const operation = pick(...operations, ...values, ...values, ...values, ...values)
    const [method, template] = operation.split(' ') as [string, string]
    const [collection, key] = next() < 0.6
      ? [
          pick('c', 'd'), pick('k', 'l', 'n', 'm')
        ]
      : [pick(...COLLECTIONS), pick(...KEYS)]
    const path = template.replace(
      '{collection}', encodeURIComponent(collection)
    ).replace('{key}', encodeURIComponent(key))
    const isPlain = next() < 0.5 // otherwise few requests would succeed
    const query = isPlain
      ? ''
      : [maybe(0.1, `ttl=${pick('10', '0.01', '0', '-1', 'x', '1e999')}`),
          maybe(0.2, `release=${pick('true', 'false', 'x')}`),
          maybe(0.1, `force=${pick('true', 'x')}`), maybe(0.1, `prefix=${pick('k', '%F0')}`),
          maybe(0.1, `cursor=${pick('0', '99', 'x', '-1')}`),
          maybe(0.1, `limit=${pick('1', '0', '99999', 'x')}`),
          maybe(0.05, 'unknown=1')].filter(part => part !== undefined).join('&')
    const hasBody = method !== 'GET' && method !== 'DELETE'
    const headers: Record<string, string | undefined> = {
      'content-type': hasBody
        ? isPlain
          ? path === '/import' ? 'application/x-ndjson' : 'application/json'
          : pick(
            'application/json', 'application/json', 'application/json', 'text/plain', undefined
          )
        : undefined,
      'if-match': maybe(isPlain ? 0 : 0.3, pick(pick(...versions), memory.versionOf(collection, key))),
      'if-none-match': maybe(isPlain ? 0 : 0.3, pick('*', pick(...versions), memory.versionOf(collection, key))),
      'lock-token': maybe(0.3, pick(pick(...tokens.slice(-5)), memory.tokenOf(collection, key))),
      prefer: maybe(0.1, pick('wait=0', 'wait=0.01', 'wait=x', 'respond-async'))
    }
    const request = {
      method: method === 'GET' && !template.endsWith('/export') ? pick('GET', 'GET', 'HEAD') : method,
      url: `${PREFIX}${path}${query === '' ? '' : `?${query}`}`,
      headers: Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== undefined)),
      ...hasBody ? { payload: bodyOf(method, template, collection, key) } : {}
    } as InjectOptions
    const { answer, what } = await ask(request, operation)
    const { statusCode: status, headers: received } = answer

    // The result belongs to the requested key.
    let found: unknown
    if (template.endsWith('/keys/{key}') && method === 'GET' && request.method === 'GET' && status === 200) {
      found = answer.json()
    }
    if (template.endsWith('/locks/{key}') && status === 201) found = answer.json<{ value?: unknown }>().value
    if (found !== undefined) {
      const step = NUMBERS.get(key)
      const named = found as { collection?: string, key?: string }
      if (step !== undefined) assert.equal((found as number) % step, 0, `a value of another key: ${what}`)
      else assert.deepEqual([named.collection, named.key], [collection, key], `a value of another key: ${what}`)
      count('values compared')
    }
    if (template.endsWith('/locks/{key}') && method === 'GET' && request.method === 'GET' && status === 200) {
      const lock = answer.json<{ collection: string, key: string }>()
      assert.deepEqual([lock.collection, lock.key], [collection, key], what)
    }
    if (template.endsWith('/keys/{key}')) {
      if (
        memory.learn(
          {
            method: request.method as string,
            collection,
            key,
            sent: headers,
            status,
            etag: received.etag,
            deleted: received['x-deleted']
          },
          what
        )
      ) {
        count('conditions met')
      }
    } else if (template === '/calls' || template === '/import') for (const name of COLLECTIONS) memory.forget(name)
    else if (/^\/collections\/\{collection\}(\/set|\/keys)?$/.test(template) && method !== 'GET') {
      memory.forget(
        collection
      )
    }
    if (template.endsWith('/get') && status === 200) {
      for (const { key, value } of answer.json<
        Array<{ key: string; value?: { collection?: string; key?: string } }>
      >()) {
        if (value?.key !== undefined) {
          assert.deepEqual([value.collection, value.key], [collection, key], `a value of another key: ${what}`)
        }
      }
    }

    // A token works only for the lock it was granted for.
    const token = headers['lock-token']
    if (
      token !== undefined &&
      template.endsWith('{key}') &&
      method !== 'POST' &&
      !query.includes('force=true') &&
      !(template.includes('locks') && method === 'GET')
    ) {
      if (!memory.isTokenOf(collection, key, token)) {
        assert.ok(status >= 400, `the token of another key is accepted: ${what}`)
        count('foreign tokens')
      }
    }
    if (received['lock-token'] !== undefined) {
      tokens.push(String(received['lock-token']))
      memory.grant(collection, key, String(received['lock-token']))
      assert.equal(received['lock-token'], answer.json<{ token: string }>().token, what)
      assert.equal(received.location, `${PREFIX}${path}`, what)
    }

    // HEAD is GET without a body.
    if (request.method === 'HEAD' && template.endsWith('/keys/{key}') && status !== 423) {
      const whole = await ask({ ...request, method: 'GET' }, operation)
      if (status === 200 && whole.answer.statusCode === 200) {
        assert.equal(whole.answer.headers.etag, received.etag, what)
      } else {
        assert.ok(
          whole.answer.statusCode === status || (status < 400 && whole.answer.statusCode === 404),
        `${what}, and ${whole.what}`
        )
      }
    }
    if (received.etag !== undefined) versions.push(String(received.etag))
    if (versions.length > 20) versions.splice(6, 10)
  }
  assert.ok(counts['values compared']! > 0 && counts['foreign tokens']! > 0)
  assert.ok(counts.requests! < 10_000 || counts['conditions met']! > 0)
  return counts
}

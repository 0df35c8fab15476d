// The request that a call of a batch stands for: checks the call and the rights of its sender.
import { MAX_LOCKS, type Op, type Request } from '../src/core/engine.js'
import { StoreError } from '../src/core/errors.js'
import { checkCollection, checkCursor, checkKey, checkName, checkNewToken, checkToken } from '../src/core/validation.js'
import { text } from '../src/core/value.js'
import { boundsOf } from '../src/api/options.js'
import { LEASE_MS, OPERATIONS, readCall, type SentCall } from '../src/engines/http/protocol.js'
import type { Identity } from './tokens.js'

const MAX_PAGE = 1000
/** Reads that become `peek` for tokens with read access, so that they do not count as uses. */
const LOOKS: readonly Op[] = ['get', 'entry', 'head']

export interface Rights {
  identity: Identity
  /** Milliseconds. */
  maxLease: number
  /** The display name of the lock owner; `owner` is the one given in the call. */
  ownerOf (owner: string | undefined): string
}

/** `maxValueBytes`: the limit of the store. */
export function requestOf (call: SentCall, rights: Rights, maxValueBytes: number): Request {
  const { identity: { canWrite, collections }, maxLease, ownerOf } = rights
  if (!canWrite && !OPERATIONS[call.op].isRead) {
    throw new StoreError('STORE_UNREACHABLE', 'ADMIN_READ_ONLY: the token has read access only')
  }
  if (collections?.has(call.collection) === false && call.op !== 'ping') {
    const what = call.collection === '' ? 'all collections' : 'this collection'
    throw new StoreError('STORE_UNREACHABLE', `ADMIN_OUT_OF_SCOPE: the token does not cover ${what}`)
  }
  const request = readCall(canWrite || !LOOKS.includes(call.op) ? call : { ...call, op: 'peek' })
  const { op, collection, key, token, cursor, owner, limit, ttl, number } = request
  checkCollection(collection)
  checkKey(key)
  if (token !== undefined) (op === 'acquire' ? checkNewToken : checkToken)(token)
  else if (op === 'release' || op === 'renew' || request.release) {
    throw new StoreError(
      'STORE_OPTION_INVALID', `${op} requires a token`
    )
  }
  if (cursor !== undefined) checkCursor(cursor)
  if (owner !== undefined) checkName(owner, 'STORE_OPTION_INVALID')
  if (limit !== undefined && ttl === undefined) throw new StoreError('STORE_OPTION_INVALID', 'limit requires a ttl')
  if (op === 'increment' && number === undefined) {
    throw new StoreError('STORE_OPTION_INVALID', 'increment requires a number')
  }
  if (op === 'subscribe' && (token === undefined || !(number! >= 0))) {
    throw new StoreError('STORE_OPTION_INVALID', 'subscribe requires a token and a number')
  }
  if (op === 'set' || op === 'publish') text.encode(request.text, maxValueBytes)
  if (op === 'configure') checkBounds(request.text)
  if (op === 'scan' || op === 'dump') request.number = pageOf(number ?? 100, MAX_PAGE)
  if (op === 'collections') request.number = pageOf(number ?? 100, MAX_PAGE)
  if (op === 'locks') request.number = pageOf(number ?? MAX_LOCKS, MAX_LOCKS)
  if (op === 'acquire') {
    request.lease ??= Math.min(LEASE_MS, maxLease)
    request.owner = ownerOf(owner)
    request.detached = true // it must not end with this process, which does not see the client exit
  }
  if (request.lease !== undefined && request.lease > maxLease) {
    throw new StoreError(
      'STORE_OPTION_INVALID',
      `invalid lease: expected at most ${maxLease / 1000} seconds, got ${request.lease / 1000}`
    )
  }
  return request
}

function pageOf (number: number, most: number): number {
  return Math.max(1, Math.min(Math.floor(number), most))
}

/** Validates options that Collection.configure has serialized. */
function checkBounds (bounds: string | undefined): void {
  let parsed: unknown
  try {
    parsed = JSON.parse(bounds ?? '')
  } catch {}
  if (typeof parsed !== 'object' || parsed === null) {
    throw new StoreError('STORE_OPTION_INVALID', 'invalid options of a collection: expected a JSON object')
  }
  const { idle, near, ...others } = parsed as { idle?: unknown, near?: unknown }
  const seconds = (ms: unknown): number => typeof ms === 'number' ? ms / 1000 : NaN
  boundsOf({
    ...others,
    ...idle === undefined ? {} : { expireKeys: seconds(idle) },
    ...near === undefined ? {} : { near: seconds(near) }
  })
}

// Request bodies: JSON in UTF-8, limited in size while they arrive. Values are stored as the text they are.
import { Transform } from 'node:stream'
import type { FastifyReply, FastifyRequest, preParsingAsyncHookHandler } from 'fastify'
import { StoreError } from '../src/core/errors.js'
import type { Store } from '../src/api/store.js'
import { Problem } from './problems.js'

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Rejects bodies in a content coding or charset that would be misread. */
export function checkMedia ({ method, headers }: FastifyRequest, reply: FastifyReply): void {
  if (method === 'GET' || method === 'HEAD') return
  const coding = headers['content-encoding']
  if (coding !== undefined && coding.trim().toLowerCase() !== 'identity') {
    reply.header('accept-encoding', 'identity')
    throw new Problem('ADMIN_UNSUPPORTED_MEDIA_TYPE', 'invalid Content-Encoding: expected an uncompressed body')
  }
  const charset = /;\s*charset\s*=\s*"?([^\s;"]*)/i.exec(headers['content-type'] ?? '')?.[1]
  if (charset !== undefined && !/^(utf-?8|us-ascii)$/i.test(charset)) {
    throw new Problem('ADMIN_UNSUPPORTED_MEDIA_TYPE', 'invalid charset: expected utf-8')
  }
}

/** A preParsing hook that rejects a body as soon as it exceeds `limitOf(maxValueBytes)` bytes. */
export function limitBody (
  store: Store, limitOf = (maxValueBytes: number): number => maxValueBytes
): preParsingAsyncHookHandler {
  let isKnown = false
  return async (request, _, payload) => {
    if (!isKnown) {
      await store.ping() // maxValueBytes is known once the store has replied
      isKnown = true
    }
    const limit = limitOf(store.maxValueBytes)
    const declared = request.headers['content-length']
    if (declared !== undefined) {
      if (Number(declared) > limit) {
        throw new StoreError('STORE_VALUE_TOO_LARGE', `${declared} bytes, the limit is ${limit}`)
      }
      return payload
    }
    let size = 0
    const counter = new Transform({
      transform (chunk: Buffer, _, done) {
        size += chunk.length
        done(size > limit ? new StoreError('STORE_VALUE_TOO_LARGE', `the limit is ${limit} bytes`) : null, chunk)
      }
    })
    payload.on('error', error => { counter.destroy(error) })
    return payload.pipe(counter)
  }
}

/** A content type parser that keeps the body as text. The store validates it as JSON. */
export async function jsonText (_: FastifyRequest, body: Buffer): Promise<string> {
  try {
    return decoder.decode(body)
  } catch (cause) {
    throw new StoreError('STORE_VALUE_INVALID', 'the body is not UTF-8', { cause })
  }
}

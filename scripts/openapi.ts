// npm run openapi: writes openapi.yaml, the OpenAPI document that the admin API serves at its default prefix. A test
// checks that the file is up to date.
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import Fastify from 'fastify'
import { strongStore } from '../src/index.js'

export const file = fileURLToPath(new URL('../../openapi.yaml', import.meta.url))

/** The expected text of openapi.yaml. */
export async function describe (): Promise<string> {
  const app = Fastify()
  await app.register(strongStore, { url: 'memory:', admin: { auth: false } })
  const { body } = await app.inject('/_store/v1/openapi.yaml')
  await app.close()
  return body
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(file, await describe())

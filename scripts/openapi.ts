// npm run openapi: writes openapi.yaml, the description that the admin API serves at its default prefix. A test
// compares the two.
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import Fastify from 'fastify'
import { strongStore } from '../src/index.js'

export const file = fileURLToPath(new URL('../../openapi.yaml', import.meta.url))

/** The text that openapi.yaml should have. */
export async function describe (): Promise<string> {
  const app = Fastify()
  await app.register(strongStore, { url: 'memory:', admin: { auth: false } })
  const { body } = await app.inject('/_store/v1/openapi.yaml')
  await app.close()
  return body
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(file, await describe())

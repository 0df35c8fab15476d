import Fastify from 'fastify'
import strongStore, { createStore } from 'strong-store'
import { expressAdmin } from 'strong-store/express'
import { KeyvStore } from 'strong-store/keyv'
import { SessionStore } from 'strong-store/session'
async function main () {
  const app = Fastify()
  await app.register(strongStore, { url: 'memory:', admin: { auth: false } })
  const { statusCode } = await app.inject('/_store/v1/openapi.yaml')
  console.log('bundle', await createStore().collection('c').increment('key'), statusCode)
  await app.close()
  if ([expressAdmin, KeyvStore, SessionStore].includes(undefined)) throw new Error('something is missing')
}
main()

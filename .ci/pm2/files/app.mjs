import Fastify from 'fastify'
import strongStore from 'strong-store'

const app = Fastify({ forceCloseConnections: true })
await app.register(strongStore)
app.get('/ping', async () => ({ pid: process.pid }))
app.post('/hits', async request => ({ hits: await request.store.collection('counters').increment('hits') }))
app.post('/login/:name', async request => { await request.store.collection('sessions').set(request.params.name, { visits: 0 }) })
app.get('/me/:name', async (request, reply) => {
  const session = await request.store.collection('sessions').update(request.params.name, found => found && { visits: found.visits + 1 })
  return session ?? reply.code(401).send({})
})
process.on('SIGINT', () => { app.close().then(() => { process.exit() }) })
await app.listen({ port: Number(process.env.PORT), host: '127.0.0.1' })
process.send('ready')

// What is asked over HTTP, each in a worker of its own.
import fastify, { type FastifyInstance } from 'fastify'
import strongStore, { createStore } from '../../src/index.js'

export interface Site {
  /** In the primary; gives what `listen` needs to know. */
  serve (): Promise<string>
  /** In the worker. */
  listen (address: string): Promise<unknown>
  path: string
}

const value = { text: 'x'.repeat(289) }

function site (path: string, routes: (app: FastifyInstance, address: string) => Promise<unknown>, serve = async () => ''): Site {
  return {
    serve,
    path,
    listen: async address => {
      const app = fastify()
      await routes(app, address)
      await app.listen({ port: 0, host: '127.0.0.1' })
    }
  }
}

export const sites = {
  constant: site('/value', async app => {
    app.get('/value', async () => value)
  }),

  'req.store': site('/value', async app => {
    await app.register(strongStore)
    await createStore().collection('bench').set('value', value)
    app.get('/value', async request => await request.store.collection('bench').get('value'))
  })
} satisfies Record<string, Site>

export type SiteName = keyof typeof sites

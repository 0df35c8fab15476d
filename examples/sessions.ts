// `npm run example:sessions`: a login that all workers know, with express-session, and a logout everywhere.
import { promisify } from 'node:util'
import express from 'express'
import session from 'express-session'
import { SessionStore } from 'strong-store/session'
import { serve } from './workers.js'

declare module 'express-session' {
  interface SessionData {
    name: string
    visits: number
  }
}

const advice = (url: string): string => `${url} has four workers, and one memory for their sessions. Try, more than once:

  curl -c /tmp/cookies '${url}/login?name=Ada'
  curl -b /tmp/cookies ${url}/me
  curl -b /tmp/cookies -X POST ${url}/logout-everywhere
  curl -b /tmp/cookies ${url}/logout`

await serve(advice, async port => {
  const app = express()
  // With locking, requests of one session run one after another, so that each visit is counted.
  const sessions = new SessionStore({ locking: true })
  app.use(session({
    store: sessions,
    secret: process.env.SESSION_SECRET ?? 'for this example only',
    resave: false,
    saveUninitialized: false,
    cookie: { maxAge: 30 * 60 * 1000, sameSite: 'lax' }
  }))

  app.get('/login', (req, res, next) => {
    // A session of its own for each login: one that somebody else may know must not become it.
    req.session.regenerate(error => {
      if (error != null) { next(error); return }
      req.session.name = String(req.query.name ?? 'nobody')
      req.session.visits = 0
      res.json({ worker: process.pid, hello: req.session.name })
    })
  })

  app.get('/me', (req, res) => {
    const { name, visits = 0 } = req.session
    if (name === undefined) { res.status(401).json({ worker: process.pid, error: 'log in first' }); return }
    req.session.visits = visits + 1
    res.json({ worker: process.pid, name, visits: req.session.visits })
  })

  app.post('/logout-everywhere', async (req, res) => {
    const all = await promisify(sessions.all).call(sessions) as Array<{ id: string, name?: string }>
    const own = all.filter(({ name }) => name === req.session.name)
    await Promise.all(own.map(({ id }) => promisify(sessions.destroy).call(sessions, id)))
    res.json({ worker: process.pid, sessions: own.length }) // this one, too: what was destroyed is not saved again
  })

  app.get('/logout', (req, res, next) => {
    req.session.destroy(error => {
      if (error != null) next(error)
      else res.json({ worker: process.pid, bye: true })
    })
  })

  return app.listen(port)
})

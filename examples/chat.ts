// A chat over Socket.IO: `npm run example:chat`, then open the page in two windows. Whichever worker a window talks to,
// it gets what the others in its room say.
import Fastify from 'fastify'
import strongStore from 'strong-store'
import { socketAdapter } from 'strong-store/socket.io'
import { Server } from 'socket.io'
import { serve } from './workers.js'

const PAGE = `<!doctype html>
<title>Chat</title>
<form><input name="text" autocomplete="off" autofocus> <button>Say</button></form>
<pre id="said"></pre>
<script src="/socket.io/socket.io.js"></script>
<script>
  const socket = io({ transports: ['websocket'] })
  socket.emit('join', location.hash || 'lobby')
  socket.on('said', text => { document.getElementById('said').textContent += text + '\\n' })
  document.forms[0].onsubmit = event => {
    event.preventDefault()
    socket.emit('say', event.target.text.value)
    event.target.reset()
  }
</script>`

await serve(url => `Open ${url} in two windows.`, async port => {
  const app = Fastify()
  await app.register(strongStore)
  app.get('/', (_, reply) => reply.type('text/html').send(PAGE))
  // Long polling would need each client to come back to the same worker.
  const io = new Server(app.server, { transports: ['websocket'], adapter: socketAdapter({ store: app.store }) })
  io.on('connection', socket => {
    socket.on('join', async (room: string) => { await socket.join(room) })
    socket.on('say', (text: string) => {
      const [, ...rooms] = socket.rooms // the first is that of the socket alone
      io.to(rooms).emit('said', `${process.pid}: ${text}`)
    })
  })
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => { io.local.disconnectSockets(true) })
  await app.listen({ port })
  return app.server
})

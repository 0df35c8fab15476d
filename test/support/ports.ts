// Ports for servers that cannot listen on port 0, in the tests, the bench and the checks of the guides.
import { once } from 'node:events'
import { createServer } from 'node:net'

let nextPort = 10_000 + process.pid % 400 * 50

/**
 * A free port. It is below the range of ephemeral ports, and each process starts its search at a different one, so that
 * it is unlikely to be taken before the server listens.
 */
export async function freePort (): Promise<number> {
  for (;;) {
    const port = nextPort++
    const server = createServer().listen(port, '127.0.0.1')
    const isFree = await once(server, 'listening').then(() => true, () => false)
    if (!isFree) continue
    server.close()
    await once(server, 'close')
    return port
  }
}

// Ports for servers that have to be told one, in the tests, the bench and the checks of the guides.
import { once } from 'node:events'
import { createServer } from 'node:net'

let nextPort = 10_000 + process.pid % 400 * 50

/**
 * A free port of this machine. It is below those that systems choose by themselves, and each process starts at another
 * one, so that nothing else takes it before the server listens.
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

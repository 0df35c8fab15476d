// A process that has the socket, and perhaps the token, and violates the protocol.
import { connect, type Socket } from 'node:net'
import { OPS, Request } from '../../src/core/engine.js'
import { CANCEL, NAME, writeControl, writeHello, writeRequest, type Target } from '../../src/engines/socket/protocol.js'
import { random } from './attack.js'

export interface Assault { path: string, token: string, seed: number, rounds: number, seconds: number }

/** The URL of this module. */
export interface Program { assail: typeof assail }

class Paper implements Target {
  buffer = Buffer.alloc(2 ** 18)
  used = 0
  reserve (): void {}
  commit (size: number): void { this.used += size }
  get bytes (): Buffer { return Buffer.from(this.buffer.subarray(0, this.used)) }
}

/** Resolves with the number of attempts of each kind. */
export async function assail ({ path, token, seed, rounds, seconds }: Assault): Promise<Record<string, number>> {
  const next = random(seed)
  const below = (limit: number): number => Math.floor(next() * limit)
  const noise = (size: number): Buffer => Buffer.from(Array.from({ length: size }, () => below(256)))
  const open = (): Socket => {
    const socket = connect(path)
    socket.on('error', () => {})
    socket.on('data', () => {})
    return socket
  }

  /** A hello, followed by calls of all kinds. */
  const talk = (calls: number): Buffer => {
    const paper = new Paper()
    writeHello(paper, token, 'hostile')
    writeControl(paper, NAME, 0, 0, 'hostile')
    for (let i = 0; i < calls; i++) {
      const op = OPS[below(OPS.length)]!
      if (op === 'configure' || op === 'clear') continue
      const request = new Request(op, '', `key ${below(5)}`)
      if (next() < 0.5) request.text = '"text"'
      if (next() < 0.2) request.lease = below(50)
      if (next() < 0.2) request.ttl = below(50)
      if (next() < 0.2) request.number = next() * 10
      if (next() < 0.1) request.token = 'no token of mine'
      writeRequest(paper, request, 0, below(8))
      if (next() < 0.1) writeControl(paper, CANCEL, 0, below(8), '')
    }
    return paper.bytes
  }

  const large = (size: number): Buffer => {
    const paper = new Paper()
    writeHello(paper, token, 'hostile')
    writeControl(paper, NAME, 0, 0, 'hostile large')
    writeRequest(paper, Object.assign(new Request('set', '', 'large'), { text: `"${'x'.repeat(size)}"` }), 0, 0)
    return paper.bytes
  }

  const reads = (count: number): Buffer => {
    const paper = new Paper()
    for (let i = 1; i <= count; i++) writeRequest(paper, new Request('get', '', 'large'), 0, i)
    return paper.bytes
  }

  const kinds: Record<string, (socket: Socket) => void> = {
    noise: socket => { socket.write(noise(1 + below(300))) },
    'noise after a hello': socket => { socket.write(Buffer.concat([talk(0), noise(1 + below(300))])) },
    'changed bytes': socket => {
      const bytes = talk(30)
      for (let i = 0; i <= below(6); i++) bytes[below(bytes.length)] = below(256)
      socket.write(bytes)
    },
    'calls of all kinds': socket => { socket.write(talk(100)) },
    'half a frame': socket => { socket.write(large(50_000).subarray(0, 100 + below(50_000))) },
    'byte by byte': socket => { for (const byte of talk(3)) socket.write(Buffer.of(byte)) },
    'a wrong token': socket => {
      const bytes = talk(3)
      bytes[12 + below(60)]! ^= 1
      socket.write(bytes)
    },
    'a wrong version': socket => {
      const bytes = talk(3)
      bytes[8] = below(256)
      socket.write(bytes)
    },
    'never reads': socket => {
      socket.pause()
      socket.write(large(100_000))
      for (let i = 0; i < 4; i++) socket.write(reads(1000))
    },
    'never stops': socket => {
      socket.write(large(10))
      for (let i = 0; i < 20; i++) socket.write(reads(5000))
    },
    flood: socket => {
      const others = Array.from({ length: 150 }, open)
      socket.on('close', () => { for (const other of others) other.destroy() })
    }
  }
  const names = Object.keys(kinds)
  const counts: Record<string, number> = {}
  const end = Date.now() + seconds * 1000
  for (let round = 0; round < rounds && Date.now() < end; round++) {
    const name = names[round % names.length]!
    counts[name] = (counts[name] ?? 0) + 1
    const socket = open()
    kinds[name]!(socket)
    await new Promise(resolve => { setTimeout(resolve, 5 + below(10)) })
    socket.destroy()
  }
  return counts
}

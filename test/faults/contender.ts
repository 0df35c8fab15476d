// A process that repeatedly serves a path, for `takeover.ts`. It pauses randomly before each file system call, and is
// killed at a given call if `STEPS` is set. Input lines: `serve PATH STEPS`, `close`; output: the outcome.
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { createInterface } from 'node:readline'
import { random } from './attack.js'

const next = random(Number(process.argv[2]))
let left = Infinity

for (const name of ['linkSync', 'renameSync', 'unlinkSync', 'lstatSync'] as const) {
  const original = fs[name] as (...args: unknown[]) => unknown
  ;(fs as Record<string, unknown>)[name] = (...args: unknown[]) => {
    if (next() < 0.5) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, next() * 5)
    if (left-- <= 0) process.kill(process.pid, 'SIGKILL')
    return original(...args)
  }
}
syncBuiltinESMExports()

const { SocketFile, SocketInUse } = await import('../../src/engines/socket/socket-file.js')
let file: Awaited<ReturnType<typeof SocketFile.open>> | undefined
console.log('ready')
for await (const line of createInterface(process.stdin)) {
  const [command, path, steps] = line.split(' ') as [string, string, string]
  left = command === 'serve' ? Number(steps) : Infinity
  try {
    if (command === 'serve') {
      file = await SocketFile.open(
        path,
        socket => {
          socket.destroy()
        },
        [process.geteuid!()],
        () => {}
      )
    } else file!.close()
    console.log(command === 'serve' ? 'serves' : 'closed')
  } catch (error) {
    console.log(error instanceof SocketInUse ? 'in use' : error)
  }
  left = Infinity
}

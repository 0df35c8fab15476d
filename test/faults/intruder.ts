// Run by another user in the folder given as its argument: tries to enter, replace and remove files there, and sets
// traps for other processes. It exits when its input ends, and prints its successes.
import {
  chmodSync, linkSync, mkdirSync, readdirSync, renameSync, rmSync, rmdirSync, symlinkSync, unlinkSync, writeFileSync
} from 'node:fs'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

if (process.argv[1] === fileURLToPath(import.meta.url)) await intrude(process.argv[2]!, process.argv[3]!)

async function intrude (folder: string, home: string): Promise<void> {
  process.umask(0)
  const figures = { attempts: 0, succeeded: [] as string[] }
  const baits: string[] = []
  const bait = async (name: string): Promise<void> => {
    const directory = join(folder, `strong-store-${name}`)
    mkdirSync(directory, 0o777)
    const server = createServer().listen(join(directory, 'live'))
    await once(server, 'listening')
    linkSync(join(directory, 'live'), join(directory, 'socket'))
    chmodSync(join(directory, 'socket'), 0o777)
    server.close()
    writeFileSync(join(directory, 'more'), '')
    baits.push(directory)
  }
  for (const name of ['baita1', 'baita2', 'swaps1']) await bait(name)
  symlinkSync(home, join(folder, 'strong-store-link'))
  writeFileSync(join(folder, 'strong-store-file'), '')
  const attempt = (what: string, act: () => unknown): void => {
    figures.attempts++
    try {
      act()
      figures.succeeded.push(what)
    } catch {}
  }
  const swaps = join(folder, 'strong-store-swaps1')
  let isOver = false
  process.stdin.on('end', () => { isOver = true }).resume()
  process.stdout.write('ready\n')
  for (;;) {
    if (isOver) break
    for (const name of readdirSync(folder)) {
      const directory = join(folder, name)
      if (!name.startsWith('strong-store-') || /-(bait|swaps|link|file|moved)/.test(name)) continue
      attempt('list', () => readdirSync(directory))
      attempt('rename', () => { renameSync(directory, join(folder, 'strong-store-moved')) })
      attempt('rmdir', () => { rmdirSync(directory) })
      attempt('unlink', () => { unlinkSync(join(directory, 'socket')) })
      attempt('write', () => { writeFileSync(join(directory, 'file'), '') })
      figures.attempts++
      const socket = connect(join(directory, 'socket'))
      const isIn = await new Promise<boolean>(resolve => {
        socket.on('connect', () => { resolve(true) })
        socket.on('error', () => { resolve(false) })
      })
      socket.destroy()
      if (isIn) figures.succeeded.push('connect')
    }
    // Repeatedly replaces a folder with a link to the home of the other user, and back.
    renameSync(swaps, `${swaps}-away`)
    symlinkSync(home, swaps)
    await new Promise(resolve => { setTimeout(resolve, 5) }) // a trap for others
    rmSync(swaps)
    renameSync(`${swaps}-away`, swaps)
  }
  for (const directory of baits) {
    attempt(
      '', () => readdirSync(directory).sort().join() === 'more,socket' || figures.succeeded.push('a bait was taken')
    )
  }
  console.log(JSON.stringify({ ...figures, succeeded: [...new Set(figures.succeeded)].filter(Boolean) }))
}

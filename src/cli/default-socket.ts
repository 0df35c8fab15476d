// The default socket of `serve` and of commands without a URL, in a directory that only this user can enter.
import { lstatSync, mkdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { EXIT, Exit } from './exit.js'

/** `makes`: whether to create a missing directory. Exits with NO_RIGHT. */
export function defaultSocket (env: NodeJS.ProcessEnv, makes: boolean): string {
  if (process.platform === 'win32') return '/strong-store'
  // Set by systemd: for a unit with RuntimeDirectory=, or for a user session.
  if (env.RUNTIME_DIRECTORY) return join(env.RUNTIME_DIRECTORY.split(':')[0]!, 'store.sock')
  if (env.XDG_RUNTIME_DIR) return join(env.XDG_RUNTIME_DIR, 'strong-store.sock')
  const directory = join(homedir(), '.strong-store')
  if (makes) {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    const { uid, mode } = lstatSync(directory)
    if (uid !== process.geteuid!() || (mode & 0o077) !== 0) {
      throw new Exit(EXIT.NO_RIGHT, `${directory} is not private to uid ${process.geteuid!()}; correct its owner and mode (0700), or choose a socket with --socket`)
    }
  }
  return join(directory, 'store.sock')
}

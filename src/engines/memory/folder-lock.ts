// Ensures that only one process uses a data folder, with a lock file that names the process. The lock of a process
// that was killed is replaced if its death can be verified. Processes in other containers are not visible: for these,
// the lock counts as dead when its modification time, renewed every second, is too old.
import { readFileSync, readlinkSync } from 'node:fs'
import { readFile, rename, stat, unlink, utimes, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { Timer } from '../../core/timer.js'

const RENEW_MS = 1000
/** Milliseconds without renewal after which the owner counts as dead. */
const DEAD_MS = 4000
const LOOK_MS = 100
const MAX_ATTEMPTS = 5

interface Owner {
  pid: number
  /** Start time of the process: its pid may have been reused. */
  started: string
  /** Only processes of the same host can see each other. */
  host: string
  token: string
}

/** Tokens of the locks held by this process, including other copies of this package. */
const HELD = Symbol.for('strong-store.folders.1')
const held = (globalThis as { [HELD]?: Set<string> })[HELD] ??= new Set()

export class FolderLock {
  readonly #file: string
  readonly #content: string
  readonly #token: string
  readonly #timer = new Timer()

  private constructor (file: string, content: string, token: string) {
    this.#file = file
    this.#content = content
    this.#token = token
    held.add(token)
    this.#timer.setReferenced(false)
    this.#renew()
  }

  /** Throws an Error that names the process that has the folder. */
  static async take (folder: string): Promise<FolderLock> {
    const file = join(folder, 'lock')
    const token = randomBytes(16).toString('hex')
    const owner: Owner = { pid: process.pid, started: startOf(process.pid), host: hostOf(), token }
    const content = JSON.stringify(owner)
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      try {
        await writeFile(file, content, { flag: 'wx', mode: 0o600 })
        return new FolderLock(file, content, token)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      }
      const found = await readFile(file, 'utf8').catch(() => undefined)
      if (found !== undefined) await replace(file, found)
    }
    throw new Error(`${file} cannot be locked`)
  }

  /** Rejects if another process has taken over the folder, or if that cannot be found out. */
  async check (): Promise<void> {
    const content = await readFile(this.#file, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error // too many open files, for example
    })
    if (content !== this.#content) throw new Error(`${this.#file} was taken over by another process`)
  }

  async release (): Promise<void> {
    this.#timer.stop()
    held.delete(this.#token)
    try {
      await this.check()
      await unlink(this.#file)
    } catch {} // it belongs to another process
  }

  #renew (): void {
    this.#timer.start(RENEW_MS, () => {
      const now = new Date()
      this.check().then(() => utimes(this.#file, now, now)).catch(() => {}).finally(() => {
        if (held.has(this.#token)) this.#renew()
      })
    })
  }
}

/** Removes a lock whose owner is dead. Throws if the owner is alive. */
async function replace (file: string, content: string): Promise<void> {
  const owner = parsed(content)
  // A lock file without content may have just been created.
  if (owner === undefined ? !await isQuiet(file, LOOK_MS) : await isAlive(file, owner)) {
    throw new Error(`it is in use by ${owner === undefined ? 'another process' : `process ${owner.pid}`}`)
  }
  const aside = `${file}-${randomBytes(8).toString('hex')}`
  try {
    await rename(file, aside)
    if (await readFile(aside, 'utf8') === content) await unlink(aside)
    else await rename(aside, file) // another process has just created it
  } catch {} // another process was faster
}

async function isAlive (file: string, { pid, started, host, token }: Owner): Promise<boolean> {
  if (host !== hostOf()) return !await isQuiet(file, DEAD_MS)
  if (pid === process.pid) return held.has(token)
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
  }
  return started === startOf(pid)
}

/** Whether a file is not modified for `duration` milliseconds, or disappears. */
async function isQuiet (file: string, duration: number): Promise<boolean> {
  const time = async (): Promise<number | undefined> => (await stat(file).catch(() => undefined))?.mtimeMs
  const before = await time()
  for (let waited = 0; waited < duration; waited += LOOK_MS) {
    await sleep(LOOK_MS)
    const now = await time()
    if (now !== before) return now === undefined
  }
  return true
}

function parsed (content: string): Owner | undefined {
  try {
    const { pid, started, host, token } = JSON.parse(content) as Partial<Owner>
    if (!Number.isSafeInteger(pid) || pid! <= 0) return undefined
    return { pid: pid!, started: String(started), host: String(host), token: String(token) }
  } catch {
    return undefined
  }
}

function hostOf (): string {
  try {
    return `${hostname()} ${readlinkSync('/proc/self/ns/pid')}`
  } catch {
    return hostname()
  }
}

/** Field 22 of /proc/PID/stat, after the process name, which may contain spaces; '' if unavailable. */
function startOf (pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? ''
  } catch {
    return ''
  }
}

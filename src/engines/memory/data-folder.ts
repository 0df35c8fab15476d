// The folder of a store's data. Only its owner can enter it, and only one store uses it at a time.
import { chmod, lstat, mkdir, rename, rm, access, constants, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { FolderLock } from './folder-lock.js'
import { DATA_FILE } from './lmdb-disk.js'

/** Creates the folder if it is missing, and locks it. Throws an Error with the reason if it cannot be used. */
export async function enterFolder (name: string): Promise<{ folder: string, lock: FolderLock }> {
  const folder = resolve(name)
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const { uid, mode } = await stat(folder)
  const own = process.geteuid?.()
  if (own !== undefined && uid !== own) throw new Error(`it belongs to uid ${uid}, this process runs as uid ${own}`)
  if (own !== undefined && (mode & 0o022) !== 0) throw new Error(`other users can write to it; run chmod 700 ${folder}`)
  await access(folder, constants.R_OK | constants.W_OK | constants.X_OK)
  const file = join(folder, DATA_FILE)
  const data = await lstat(file).catch(() => undefined)
  if (data !== undefined) {
    if (!data.isFile() || (own !== undefined && data.uid !== own)) throw new Error(`${file} is not a file of this user`)
    await access(file, constants.R_OK | constants.W_OK)
    if (own !== undefined && (data.mode & 0o077) !== 0) await chmod(file, 0o600)
  }
  return { folder, lock: await FolderLock.take(folder) }
}

/** Renames a file that cannot be read. Returns the new name. */
export async function moveAside (folder: string): Promise<string> {
  const file = join(folder, DATA_FILE)
  const aside = `${file}.damaged-${new Date().toISOString().replaceAll(':', '-')}`
  await rename(file, aside)
  await rm(join(folder, 'lock.mdb'), { force: true })
  return aside
}

// Stores data in one LMDB database, in the file data.mdb of a folder. LMDB provides the transactions. A record is a
// chunk of the log: storing each key in a page of its own would write and occupy several times as much (see
// bench/RESULTS.md).
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type * as lmdb from 'lmdb'
import { StoreError } from '../../core/errors.js'
import { DamageError, type Disk } from './disk.js'
import { checkLmdb } from './lmdb-check.js'

type Database = lmdb.RootDatabase<Buffer, Buffer>

/** LMDB's error codes for files that it cannot read. */
const DAMAGED = new Set([-30797, -30796, -30795, -30794, -30793])

/** LMDB also reports this error for incomplete writes. */
const EIO = 5

export const DATA_FILE = 'data.mdb'

export async function openLmdb (folder: string): Promise<Disk> {
  const { open } = await load()
  const file = join(folder, DATA_FILE)
  await checkLmdb(file).catch((error: NodeJS.ErrnoException) => { if (error.code !== 'ENOENT') throw error })
  let database: Database
  try {
    database = open({
      path: folder,
      noSubdir: false,
      encoding: 'binary',
      keyEncoding: 'binary',
      maxDbs: 1,
      // A write is on disk when it resolves, and the newer of the two headers always refers to a complete state.
      // checkLmdb relies on that.
      overlappingSync: false,
      // Otherwise a failed batch would reject a promise that nobody can handle.
      eventTurnBatching: false,
      permissionsMode: 0o600
    } as lmdb.RootDatabaseOptionsWithPath) as Database
  } catch (cause) {
    if (DAMAGED.has((cause as { code?: number }).code ?? 0)) throw new DamageError((cause as Error).message, { cause })
    throw cause
  }
  return new LmdbDisk(database, file, (await stat(file)).ino)
}

class LmdbDisk implements Disk {
  readonly #database: Database
  readonly #file: string
  readonly #inode: number

  constructor (database: Database, file: string, inode: number) {
    this.#database = database
    this.#file = file
    this.#inode = inode
  }

  names (): string[] {
    return Array.from(this.#database.getKeys(), key => Buffer.from(key).toString('latin1'))
  }

  read (name: string): Buffer | undefined {
    const bytes = this.#database.getBinaryFast(Buffer.from(name, 'latin1')) // a part of a larger buffer
    return bytes === undefined ? undefined : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  }

  async write (records: ReadonlyMap<string, Buffer | undefined>): Promise<void> {
    this.#database.resetReadTxn() // otherwise the pages visible to it would not be reused
    const written = this.#database.batch(() => {
      for (const [name, value] of records) {
        const key = Buffer.from(name, 'latin1')
        if (value === undefined) this.#database.remove(key).catch(() => {})
        else this.#database.put(key, value).catch(() => {})
      }
    })
    try {
      await written
    } catch (error) {
      throw await reasonOf(error as Error)
    }
  }

  async check (): Promise<void> {
    const found = await stat(this.#file).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error
    })
    if (found?.ino !== this.#inode) {
      throw new Error(`${this.#file} was moved or removed: move it back, or export the keys before a restart`)
    }
  }

  async close (): Promise<void> {
    await this.#database.close()
  }
}

/** LMDB reports the reason as the rejection of a promise. */
async function reasonOf (error: Error & { commitError?: Promise<never> }): Promise<Error> {
  try {
    await error.commitError
    return error
  } catch (reason) {
    const { code, message } = reason as Error & { code?: number }
    return code === EIO ? new Error(`${message}; the disk may be full`, { cause: reason }) : reason as Error
  }
}

async function load (): Promise<Pick<typeof lmdb, 'open'>> {
  try {
    return await import('lmdb')
  } catch (cause) {
    throw new StoreError('STORE_OPTION_INVALID', 'data needs the package lmdb: npm install lmdb', { cause })
  }
}

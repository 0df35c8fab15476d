// Opens the data of a store: locks its folder, loads the data into the keyspace, and saves changes from then on.
import { StoreError, detailOf } from '../../core/errors.js'
import { enterFolder, moveAside } from './data-folder.js'
import { DamageError, type Disk } from './disk.js'
import type { FolderLock } from './folder-lock.js'
import type { Keyspace } from './keyspace.js'
import { openLmdb } from './lmdb-disk.js'
import { load, unload, liveBytes } from './loading.js'
import type { Chunk } from './log-files.js'
import { Persistence } from './persistence.js'

export interface DataSettings {
  folder: string
  /** Milliseconds between a change and its write. */
  flush: number
}

export interface DataEvents {
  /** Called with errors after which the store keeps working, but its data may not be saved. */
  onerror (error: StoreError): void
  onloading (loaded: number, all: number): void
}

export class Data {
  readonly #disk: Disk
  readonly #lock: FolderLock
  readonly #persistence: Persistence

  private constructor (disk: Disk, lock: FolderLock, persistence: Persistence) {
    this.#disk = disk
    this.#lock = lock
    this.#persistence = persistence
  }

  /** Loads into an unused keyspace. STORE_UNREACHABLE, or STORE_OPTION_INVALID if a package is missing. */
  static async open (keyspace: Keyspace, { folder: name, flush }: DataSettings, events: DataEvents): Promise<Data> {
    let lock: FolderLock | undefined
    let disk: Disk | undefined
    try {
      const entered = await enterFolder(name)
      const { folder } = entered
      lock = entered.lock
      let chunks: Chunk[]
      try {
        disk = await openLmdb(folder)
        chunks = await load(keyspace, disk, events.onloading)
      } catch (error) {
        if (!(error instanceof DamageError)) throw error
        await disk?.close()
        disk = undefined
        unload(keyspace)
        const aside = await moveAside(folder)
        events.onerror(new StoreError('STORE_NOT_DURABLE', `the data in ${folder} is damaged (${error.message}) and was moved to ${aside}; the store starts empty`))
        disk = await openLmdb(folder)
        chunks = []
      }
      const persistence: Persistence = new Persistence(keyspace, locked(disk, lock), chunks, {
        flush,
        liveBytes: () => liveBytes(keyspace, persistence.notKept),
        onerror: error => { events.onerror(new StoreError('STORE_NOT_DURABLE', `${folder}: ${error.message}; the store keeps working, but changes are not saved`, { cause: error })) }
      })
      await persistence.begin()
      return new Data(disk, lock, persistence)
    } catch (cause) {
      await disk?.close().catch(() => {})
      await lock?.release()
      if (cause instanceof StoreError) throw cause
      throw new StoreError('STORE_UNREACHABLE', `the data folder ${name} cannot be used: ${detailOf(cause as Error)}`, { cause })
    }
  }

  /** Writes all changes. STORE_NOT_DURABLE. */
  async close (): Promise<void> {
    try {
      await this.#persistence.close()
    } catch (cause) {
      throw new StoreError('STORE_NOT_DURABLE', (cause as Error).message, { cause })
    } finally {
      await this.#disk.close()
      await this.#lock.release()
    }
  }
}

/** A disk that checks the folder lock before each write. */
function locked (disk: Disk, lock: FolderLock): Disk {
  return {
    names: () => disk.names(),
    read: name => disk.read(name),
    write: records => disk.write(records),
    check: async () => {
      await disk.check()
      await lock.check()
    },
    close: () => disk.close()
  }
}

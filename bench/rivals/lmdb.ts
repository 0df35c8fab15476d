// lmdb: a file mapped into the memory of every process. Reads are local; writes become visible when committed.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { load, type Rival } from './rival.js'

interface Lmdb {
  open (options: object): {
    get (key: string): unknown
    put (key: string, value: unknown): Promise<boolean>
  }
}

export const lmdb: Rival = {
  async serve () {
    const folder = mkdtempSync(join(tmpdir(), 'bench-lmdb-'))
    process.on('exit', () => { rmSync(folder, { recursive: true, force: true }) })
    return { address: folder, cpu: undefined }
  },
  async client (path) {
    const database = load<Lmdb>('lmdb').open({ path, noSync: true })
    return {
      get: async key => database.get(key),
      set: (key, value) => database.put(key, value)
    }
  }
}

// Storage for a keyspace: records by name. The only file-based implementation is lmdb-disk.ts.

export interface Disk {
  /** The names of all records, sorted. */
  names (): string[]
  /** Returns a view that is valid until the next read. */
  read (name: string): Buffer | undefined
  /**
   * Writes records, or removes them if the value is undefined, atomically. When it resolves, the changes survive a
   * power failure.
   */
  write (records: ReadonlyMap<string, Buffer | undefined>): Promise<void>
  /** Rejects if the files were moved or removed. */
  check (): Promise<void>
  close (): Promise<void>
}

/** The data on disk cannot be read. */
export class DamageError extends Error {}

// What a keyspace is written to: records by name. The only implementation on files is lmdb-disk.ts.

export interface Disk {
  /** The names of all records that begin with `prefix`, in their order. */
  names (prefix: string): string[]
  /** A copy. */
  read (name: string): Buffer | undefined
  /**
   * Writes records, or removes them where there is no value: all or none. What is written when it resolves survives a
   * power failure.
   */
  write (records: ReadonlyMap<string, Buffer | undefined>): Promise<void>
  /** Rejects if the files are not where they were any more. */
  check (): Promise<void>
  close (): Promise<void>
}

/** What is on the disk cannot be read. */
export class DamageError extends Error {}

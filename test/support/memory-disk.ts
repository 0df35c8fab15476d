// A disk in memory that records its state after each write.
import type { Disk } from '../../src/engines/memory/disk.js'

export class MemoryDisk implements Disk {
  records: ReadonlyMap<string, Buffer>
  /** The state after each write. */
  readonly states: Array<ReadonlyMap<string, Buffer>> = []
  /** While set, writes reject with this error. */
  failure: Error | undefined
  isClosed = false

  constructor (records: ReadonlyMap<string, Buffer> = new Map()) {
    this.records = records
  }

  names (): string[] {
    return [...this.records.keys()].sort()
  }

  read (name: string): Buffer | undefined {
    return this.records.get(name)
  }

  async write (changes: ReadonlyMap<string, Buffer | undefined>): Promise<void> {
    await new Promise(resolve => { setImmediate(resolve) })
    if (this.failure !== undefined) throw this.failure
    const records = new Map(this.records)
    for (const [name, value] of changes) {
      if (value === undefined) records.delete(name)
      else records.set(name, Buffer.from(value))
    }
    this.records = records
    this.states.push(records)
  }

  async check (): Promise<void> {}

  async close (): Promise<void> {
    this.isClosed = true
  }
}

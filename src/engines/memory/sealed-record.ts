// A small record on disk: JSON with a checksum of the record's name and content.
import { crc32 } from 'node:zlib'
import { DamageError } from './disk.js'

const SEAL = /^\{"crc":(\d+),/

/** `content`: an object with at least one property. */
export function seal (name: string, content: object): Buffer {
  const text = JSON.stringify(content)
  return Buffer.from(`{"crc":${crc32(name + text)},${text.slice(1)}`)
}

/** Throws a DamageError. Early records have no checksum. */
export function unseal (name: string, record: Buffer): Record<string, unknown> {
  let text = record.toString()
  const found = SEAL.exec(text)
  if (found !== null) {
    text = `{${text.slice(found[0].length)}`
    if (crc32(name + text) !== Number(found[1])) throw new DamageError(`the checksum of ${name} does not match`)
  }
  try {
    const content: unknown = JSON.parse(text)
    if (typeof content === 'object' && content !== null) return content as Record<string, unknown>
  } catch (cause) {
    throw new DamageError(`${name} cannot be read`, { cause })
  }
  throw new DamageError(`${name} cannot be read`)
}

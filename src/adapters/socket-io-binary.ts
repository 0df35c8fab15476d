// Encodes Socket.IO packets with binary data as JSON: each piece is replaced by an unguessable placeholder with its
// number, and the pieces follow in base64.
import { randomUUID } from 'node:crypto'

interface Packed {
  mark: string
  text: string
  pieces: string[]
}

/** Returns a message without binary data as it is. */
export function packBinary (message: object): object {
  if (!hasBinary(message)) return { message }
  const packed: Packed = { mark: randomUUID(), text: '', pieces: [] }
  packed.text = JSON.stringify(message, function (this: Record<string, unknown>, key: string, value: unknown) {
    const original = this[key] // `value` is what toJSON of a Buffer has returned
    return isBinary(original) ? `${packed.mark}${packed.pieces.push(bufferOf(original).toString('base64')) - 1}` : value
  })
  return packed
}

/** Restores binary data as Buffers. Undefined if `packBinary` has not created the message. */
export function unpackBinary (received: object | null): unknown {
  const { message, mark, text, pieces } = (received ?? {}) as Partial<Packed & { message: object }>
  if (message !== undefined || mark === undefined || text === undefined || pieces === undefined) return message
  return JSON.parse(text, (_, value: unknown) => {
    if (typeof value !== 'string' || !value.startsWith(mark)) return value
    return Buffer.from(pieces[Number(value.slice(mark.length))]!, 'base64')
  })
}

type Binary = ArrayBuffer | NodeJS.ArrayBufferView

function isBinary (value: unknown): value is Binary {
  return value instanceof ArrayBuffer || ArrayBuffer.isView(value)
}

function bufferOf (binary: Binary): Buffer {
  return binary instanceof ArrayBuffer
    ? Buffer.from(binary)
    : Buffer.from(binary.buffer, binary.byteOffset, binary.byteLength)
}

function hasBinary (value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  if (isBinary(value)) return true
  if (Array.isArray(value)) return value.some(hasBinary)
  if (typeof (value as { toJSON?: unknown }).toJSON === 'function') return false
  return Object.values(value).some(hasBinary)
}

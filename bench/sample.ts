// The keys and values of a large store.

export const KEY_BYTES = 20
export const VALUE_BYTES = 100

export const value = { text: 'x'.repeat(VALUE_BYTES - '{"text":""}'.length) }

/** The key number `i`. */
export function keyAt (i: number): string {
  return `key-${String(i).padStart(KEY_BYTES - 4, '0')}`
}

/** The text as a flat one-byte string, like one read from a socket. */
export function flat (text: string): string {
  return Buffer.from(text).toString('latin1')
}

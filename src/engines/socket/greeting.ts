// Detects a mismatch of protocol versions at the start of a connection.
import { StoreError } from '../../core/errors.js'
import { bytes } from './charset.js'
import { MAGIC, MAX_VALUE, PROTOCOL_VERSION, codeOf, type Target } from './protocol.js'

/**
 * Replies to a hello of another version. The format of this reply, and of the start of a hello, is the same in all
 * versions.
 */
export function writeVersion (target: Target): void {
  const content = MAGIC + String.fromCharCode(PROTOCOL_VERSION) + '\0\0\0'
  target.reserve(4 + content.length)
  target.buffer.writeUInt32LE(content.length, target.used)
  bytes.write(target.buffer, content, target.used + 4)
  target.commit(4 + content.length)
}

/** Whether a frame is a hello of another version. */
export function isOtherVersion (buffer: Buffer, at: number, end: number): boolean {
  const magic = bytes.read(buffer, at, Math.min(at + MAGIC.length, end))
  return magic === MAGIC && buffer[at + MAGIC.length] !== PROTOCOL_VERSION
}

/**
 * Checks the first frame from a server. STORE_UNREACHABLE if it has another version, STORE_PROTOCOL if it is invalid.
 */
export function checkGreeting (buffer: Buffer, at: number, end: number): void {
  if (codeOf(buffer, at) === MAX_VALUE) return
  if (!isOtherVersion(buffer, at, end)) throw new StoreError('STORE_PROTOCOL', 'the first frame is not a greeting')
  throw new StoreError('STORE_UNREACHABLE', `the store uses protocol ${buffer[at + MAGIC.length]} of strong-store, this process uses ${PROTOCOL_VERSION}; ` +
    'install the same version of the package for both, and restart the store after an upgrade')
}

// Sockets that reuse one read buffer, or read to where their receiver wants it. By default, Node allocates 64 KiB for
// each read, which costs the server more than the rest of a call.
import { Socket, connect, type OnReadOpts } from 'node:net'
import { READ } from './frame-reader.js'

export interface Receiver {
  /** Where to read to next, asked after each `receive`. Undefined: to a buffer that is reused. */
  readonly target: Buffer | undefined
  /** Called with received bytes. Those that are not in `target` must be used or copied before it returns. */
  receive (bytes: Buffer): void
}

export function connectTo (path: string, receiver: () => Receiver): Socket {
  return connect({ path, onread: onread(receiver) })
}

/**
 * Like `connectTo`, for a socket accepted by a server with `pauseOnConnect`. The original socket must not be used
 * afterwards.
 */
export function adopt (accepted: Socket, receiver: () => Receiver): Socket {
  // Node supports `onread` only for outgoing connections, so a new socket takes over the handle. Without a handle, the
  // socket reads as usual.
  const owner = accepted as unknown as { _handle: object | null | undefined }
  if (owner._handle == null) return accepted.resume()
  const socket = new Socket({ handle: owner._handle, onread: onread(receiver) } as object)
  owner._handle = null
  accepted.destroy()
  return socket
}

function onread (receiver: () => Receiver): OnReadOpts {
  const reused: Buffer = Buffer.allocUnsafeSlow(READ)
  let buffer = reused
  return {
    buffer: () => buffer, // called before the first read and after each callback
    callback: size => {
      receiver().receive(buffer.subarray(0, size))
      buffer = receiver().target ?? reused
      return true
    }
  }
}

// Sockets that reuse one read buffer. By default, Node allocates 64 KiB for each read, which costs the server more
// than the rest of a call.
import { Socket, connect, type OnReadOpts } from 'node:net'

const READ = 64 * 1024

/** Called with received bytes. They must be used or copied before it returns. */
export type Receive = (bytes: Buffer) => void

export function connectTo (path: string, receive: Receive): Socket {
  return connect({ path, onread: onread(receive) })
}

/**
 * Like `connectTo`, for a socket accepted by a server with `pauseOnConnect`. The original socket must not be used
 * afterwards.
 */
export function adopt (accepted: Socket, receive: Receive): Socket {
  // Node supports `onread` only for outgoing connections, so a new socket takes over the handle. Without a handle, the
  // socket reads as usual.
  const owner = accepted as unknown as { _handle: object | null | undefined }
  if (owner._handle == null) return accepted.resume()
  const socket = new Socket({ handle: owner._handle, onread: onread(receive) } as object)
  owner._handle = null
  accepted.destroy()
  return socket
}

function onread (receive: Receive): OnReadOpts {
  const buffer = Buffer.allocUnsafeSlow(READ)
  return {
    buffer,
    callback: size => {
      receive(buffer.subarray(0, size))
      return true
    }
  }
}

// Sockets that read into one buffer each, again and again. As they come, they take a new one of 64 KiB for each read,
// which costs the server more than all else that it does for a call.
import { Socket, connect, type OnReadOpts } from 'node:net'

const READ = 64 * 1024

/** Told of bytes that have come; they are to be used, or copied, before it returns. */
export type Receive = (bytes: Buffer) => void

export function connectTo (path: string, receive: Receive): Socket {
  return connect({ path, onread: onread(receive) })
}

/** As `connectTo`, for the socket of a server with `pauseOnConnect`, which is not to be used any more. */
export function adopt (accepted: Socket, receive: Receive): Socket {
  // Node has `onread` for sockets that connect only, so the handle moves to a socket made with it. Where there is no
  // such handle, the socket reads as it always does.
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

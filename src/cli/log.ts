// What `serve` says: one line for each event, as text or as JSON.

export type Level = 'info' | 'warning' | 'error'

export interface Log {
  (level: Level, event: string, message: string, more?: object): void
}

/** Both go to standard error, so that they are in order, and with the errors of Node.js. */
export function logTo (stream: NodeJS.WritableStream, isJson: boolean): Log {
  return (level, event, message, more = {}) => {
    stream.write(isJson
      ? JSON.stringify({ time: new Date().toISOString(), level, event, message, pid: process.pid, ...more }) + '\n'
      : `strong-store: ${level === 'info' ? '' : `${level}: `}${message}\n`)
  }
}

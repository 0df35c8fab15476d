// The log of `serve`: one line per event, as text or JSON.

export type Level = 'info' | 'warning' | 'error'

export interface Log {
  (level: Level, event: string, message: string, more?: object): void
}

/** All levels go to standard error, in order with errors of Node.js. A log that nobody reads any more ends nothing. */
export function logTo (stream: NodeJS.WritableStream, isJson: boolean): Log {
  stream.on('error', () => {})
  return (level, event, message, more = {}) => {
    stream.write(isJson
      ? JSON.stringify({ time: new Date().toISOString(), level, event, message, pid: process.pid, ...more }) + '\n'
      : `strong-store: ${level === 'info' ? '' : `${level}: `}${message}\n`)
  }
}

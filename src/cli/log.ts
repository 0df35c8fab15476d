// The log of `serve`: one line per event, as text or JSON.

export type Level = 'info' | 'warning' | 'error'

export interface Log {
  (level: Level, event: string, message: string, more?: object): void
}

/** All levels go to standard error, in order with errors of Node.js. A closed log does not end the process. */
export function logTo (stream: NodeJS.WritableStream, isJson: boolean): Log {
  stream.on('error', () => {})
  return (level, event, message, more = {}) => {
    stream.write(isJson
      ? JSON.stringify({ time: new Date().toISOString(), level, event, message, pid: process.pid, ...more }) + '\n'
      : `strong-store: ${level === 'info' ? '' : `${level}: `}${message}\n`)
  }
}

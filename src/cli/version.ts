// The version of this package.
import { readFileSync, realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** Reads the package.json above the running program. */
export function packageVersion (): string {
  for (let directory = dirname(realpathSync(process.argv[1]!)); ; directory = dirname(directory)) {
    try {
      const { name, version } = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')) as {
        name?: string
        version: string
      }
      if (name === 'strong-store') return version
    } catch {}
    if (directory === dirname(directory)) return 'unknown'
  }
}

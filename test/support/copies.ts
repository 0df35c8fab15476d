// Other copies of the package, like those in a bundle or a nested node_modules.
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { PROTOCOL_VERSION } from '../../src/engines/socket/protocol.js'
import type { Owner } from '../faults/attack.js'

const ROOT = fileURLToPath(new URL('../../..', import.meta.url))

/** Copies the compiled package, optionally with another protocol version. Resolves to the URL of its dist/src/. */
export function copyPackage (t: Pick<Owner, 'teardown'>, version = PROTOCOL_VERSION): string {
  const folder = mkdtempSync(join(tmpdir(), 'copy-'))
  t.teardown(() => { rmSync(folder, { recursive: true }) })
  for (const part of ['src', 'routes']) {
    cpSync(join(ROOT, 'dist', part), join(folder, 'dist', part), { recursive: true })
  }
  cpSync(join(ROOT, 'package.json'), join(folder, 'package.json'))
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
  const protocol = join(folder, 'dist/src/engines/socket/protocol.js')
  const code = readFileSync(protocol, 'utf8')
  writeFileSync(protocol, code.replace(`PROTOCOL_VERSION = ${PROTOCOL_VERSION}`, `PROTOCOL_VERSION = ${version}`))
  return pathToFileURL(join(folder, 'dist/src/')).href
}

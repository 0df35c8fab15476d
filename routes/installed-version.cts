// CommonJS, because only its `require.resolve` finds synchronously what is installed for this package.
import fs = require('node:fs')

/** The version of a package; '' if it is certainly missing. Undefined in a bundle: it may have the package inside. */
function installedVersion (name: string): string | undefined {
  if (typeof manifestOf('strong-store') !== 'string') return undefined
  const manifest = manifestOf(name)
  if (typeof manifest !== 'string') return manifest === false ? '' : undefined
  return (JSON.parse(fs.readFileSync(manifest, 'utf8')) as { version: string }).version
}

/** The path of its package.json; false if it is certainly missing. */
function manifestOf (name: string): string | false | undefined {
  try {
    return require.resolve(`${name}/package.json`)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND' ? false : undefined
  }
}

export = installedVersion

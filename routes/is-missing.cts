// CommonJS, as only its `require.resolve` tells at once whether a package is installed, looking from where this one is.

/** Whether a package is certainly missing. In a bundle nobody can tell: it may have the package inside. */
function isMissing (name: string): boolean {
  return resolve('strong-store/package.json') === true && resolve(name) === false
}

function resolve (name: string): boolean | undefined {
  try {
    require.resolve(name)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND' ? false : undefined
  }
}

export = isMissing

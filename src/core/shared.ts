// State that exists once per process, whichever copies of the package are loaded: as an ES module, by require, from a
// bundle.
import cluster from 'node:cluster'

/** Returns what `make` returned to the first caller with that name. Change the name whenever the shape changes. */
export function shared<T> (name: string, make: () => T): T {
  const key = Symbol.for(`strong-store.${name}`)
  const all = globalThis as unknown as Record<symbol, T | undefined>
  all[key] ??= make()
  return all[key]
}

/**
 * Installs listeners of which a process needs one set. Jest gives each test file its own globals, but all files share
 * Node's modules, so the listeners of the file before are removed first. `install` returns what removes them.
 */
export function installOnce (name: string, install: () => () => void): void {
  const key = Symbol.for(`strong-store.installed.${name}`)
  const installed = cluster as unknown as Record<symbol, (() => void) | undefined>
  installed[key]?.()
  installed[key] = install()
}

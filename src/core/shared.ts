// State that exists once per process, even if several copies of the package are loaded (ES module, require, bundle).
import cluster from 'node:cluster'

/** Returns the result of the first `make` with that name. Change the name whenever the shape of the object changes. */
export function shared<T> (name: string, make: () => T): T {
  const key = Symbol.for(`strong-store.${name}`)
  const all = globalThis as unknown as Record<symbol, T | undefined>
  all[key] ??= make()
  return all[key]
}

/**
 * Installs listeners that a process needs exactly once. Jest gives each test file its own globals but shares Node's
 * modules, so the listeners of the previous file are removed first. `install` returns a function that removes its
 * listeners.
 */
export function installOnce (name: string, install: () => () => void): void {
  const key = Symbol.for(`strong-store.installed.${name}`)
  const installed = cluster as unknown as Record<symbol, (() => void) | undefined>
  installed[key]?.()
  installed[key] = install()
}

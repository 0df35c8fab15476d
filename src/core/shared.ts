// What there is once a process, whichever copies of the package it has loaded: as an ES module, by require, from a
// bundle.

/** What `make` gives the first who asks by that name. Change the name with the shape. */
export function shared<T> (name: string, make: () => T): T {
  const key = Symbol.for(`strong-store.${name}`)
  const all = globalThis as unknown as Record<symbol, T | undefined>
  all[key] ??= make()
  return all[key]
}

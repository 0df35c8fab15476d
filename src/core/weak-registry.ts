// One object per name while anything references it. Unreferenced objects are garbage collected.

export class WeakRegistry<T extends object> {
  readonly #refs = new Map<string, WeakRef<T>>()
  readonly #registry = new FinalizationRegistry<string>(name => {
    if (this.#refs.get(name)?.deref() === undefined) this.#refs.delete(name)
  })

  get (name: string, make: () => T): T {
    const known = this.#refs.get(name)?.deref()
    if (known !== undefined) return known
    const made = make()
    this.#refs.set(name, new WeakRef(made))
    this.#registry.register(made, name)
    return made
  }
}

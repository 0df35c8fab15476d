// How a table stores its values, and finds out their keys.

/** Room for values, which is also read where there are none. */
export interface Slots<V> {
  [slot: number]: V | undefined
}

export interface Keys<V> {
  keyOf (value: V): string
  hasKey (value: V, key: string): boolean
  slots (length: number): Slots<unknown>
}

/** For objects with a property `key`. */
export const keyed: Keys<{ readonly key: string }> = {
  keyOf: ({ key }) => key,
  hasKey: (value, key) => value.key === key,
  slots: length => new Array(length).fill(undefined)
}

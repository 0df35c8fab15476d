// How the values of a table tell their keys.

export interface Keys<V> {
  keyOf (value: V): string
  hasKey (value: V, key: string): boolean
}

/** For objects with a property `key`. */
export const keyed: Keys<{ readonly key: string }> = {
  keyOf: ({ key }) => key,
  hasKey: (value, key) => value.key === key
}

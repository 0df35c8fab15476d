// The hash of the URL names the view: percent-encoded names, and parameters.

export interface Route {
  names: string[]
  parameters: URLSearchParams
}

/** Undefined if the percent-encoding is invalid. */
export function currentRoute (): Route | undefined {
  const [names = '', query = ''] = location.hash.replace(/^#\/?/, '').split(/\?(.*)/s)
  try {
    return {
      names: names === '' ? [] : names.split('/').map(decodeURIComponent), parameters: new URLSearchParams(query)
    }
  } catch {
    return undefined
  }
}

export function linkTo (names: string[], parameters: Record<string, string | undefined> = {}): string {
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined && value !== '') query.set(name, value)
  }
  return `#/${names.map(encodeURIComponent).join('/')}${query.size === 0 ? '' : `?${query.toString()}`}`
}

/** Changes a parameter of the current view without adding an entry to the history. */
export function setParameter (name: string, value: string): void {
  const route = currentRoute()
  if (route === undefined) return
  history.replaceState(null, '', linkTo(route.names, { ...Object.fromEntries(route.parameters), [name]: value }))
}

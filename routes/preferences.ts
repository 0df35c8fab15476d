// Parses the Prefer header (RFC 7240, section 2): a comma-separated list of preferences, each with an optional value.
// Parameters, which follow a semicolon, are ignored.

// An unclosed quote extends to the end, so that matching never backtracks.
const PARTS = /"((?:[^"\\]|\\.?)*)(?:"|$)|[,;=]|[^\s,;="]+/gs

/** Values by lower-case name; '' if there is none. The first of several with the same name applies. */
export function preferencesOf (header: string | string[] | undefined): Map<string, string> {
  const found = new Map<string, string>()
  let name: string | undefined
  let next: 'name' | 'equals' | 'value' | 'comma' = 'name'
  for (const [part, quoted] of (header?.toString() ?? '').matchAll(PARTS)) {
    if (part === ',') {
      next = 'name'
    } else if (part === '=') {
      next = next === 'equals' ? 'value' : 'comma'
    } else if (next === 'name' && part !== ';') {
      name = found.has(part.toLowerCase()) ? undefined : part.toLowerCase()
      if (name !== undefined) found.set(name, '')
      next = 'equals'
    } else {
      if (next === 'value' && part !== ';' && name !== undefined) {
        found.set(name, quoted?.replace(/\\(.)/g, '$1') ?? part)
      }
      next = 'comma'
    }
  }
  return found
}

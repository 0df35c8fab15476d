// The header Prefer (RFC 7240, section 2): preferences with commas between them, each with a value it may have, and behind
// semicolons parameters, which mean nothing here.

// A quote that is not closed goes on to the end, so that no part is tried twice.
const PARTS = /"((?:[^"\\]|\\.?)*)(?:"|$)|[,;=]|[^\s,;="]+/gs

/** The values by the names in lower case, '' where there is none. Of one that is given twice, the first counts. */
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
      if (next === 'value' && part !== ';' && name !== undefined) found.set(name, quoted?.replace(/\\(.)/g, '$1') ?? part)
      next = 'comma'
    }
  }
  return found
}

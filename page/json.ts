// JSON text as it is stored: laid out for reading without touching its strings and numbers.

/** Deeper levels are not indented any further. */
const MAX_INDENT = 40
/** Of a text field: browsers take minutes to lay out very many. */
const MAX_LINES = 5_000
const TOKENS = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]|[^\s{}[\],:"]+/g

/** With line breaks and indentation, or as it is if these were very many lines. The text must be valid. */
export function spread (text: string): string {
  const parts: string[] = []
  let depth = 0
  let lines = 0
  const line = (): string => {
    lines++
    return `\n${'  '.repeat(Math.min(depth, MAX_INDENT))}`
  }
  let last = ''
  for (const [token] of text.matchAll(TOKENS)) {
    const isEnd = token === '}' || token === ']'
    if (isEnd) depth--
    if (last === '{' || last === '[') parts.push(isEnd ? '' : line())
    else if (isEnd || last === ',') parts.push(line())
    parts.push(token === ':' ? ': ' : token)
    if (token === '{' || token === '[') depth++
    last = token
    if (lines > MAX_LINES) return text
  }
  return parts.join('')
}

/** Without spaces between its parts. The text must be valid. */
export function compact (text: string): string {
  return Array.from(text.matchAll(TOKENS), ([token]) => token).join('')
}

/** A number that is not exactly what JavaScript makes of it. */
export class ExactNumber {
  constructor (readonly text: string) {}
}

/** The value. Numbers that JavaScript cannot hold exactly become an ExactNumber, where the browser can tell. */
export function parse (text: string): unknown {
  if (!/\d{16}|[\d.]e/i.test(text)) return JSON.parse(text)
  return (
    JSON.parse as (
      text: string, reviver: (key: string, value: unknown, context?: { source?: string }) => unknown
    ) => unknown
  )(text, (_, value, context) =>
    typeof value === 'number' && context?.source !== undefined && context.source !== String(value)
      ? new ExactNumber(context.source)
      : value
  )
}

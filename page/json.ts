// Pretty-prints JSON text without changing its strings and numbers.

/** Deeper levels are not indented any further. */
const MAX_INDENT = 40
/** Maximum number of lines in a text field: browsers take minutes to lay out more. */
const MAX_LINES = 5_000
const TOKENS = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]|[^\s{}[\],:"]+/g

/** Adds line breaks and indentation, unless that would be too many lines. The text must be valid. */
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

/** Removes whitespace between tokens. The text must be valid. */
export function compact (text: string): string {
  return Array.from(text.matchAll(TOKENS), ([token]) => token).join('')
}

/** A number that JavaScript cannot represent exactly. */
export class ExactNumber {
  constructor (readonly text: string) {}
}

/** Parses a value. Numbers that JavaScript cannot represent exactly become an ExactNumber, if supported. */
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

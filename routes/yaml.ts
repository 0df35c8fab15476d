// Plain data as YAML (1.2) in block style: enough for a document that people read.

/** Objects, arrays, strings, numbers and booleans; what is undefined is left out. */
export function toYaml (value: unknown, indent = ''): string {
  if (typeof value !== 'object' || value === null) return ` ${scalar(value)}\n`
  const items = Array.isArray(value)
  const lines = Object.entries(value).filter(([, item]) => item !== undefined).map(([name, item]) => (
    items ? `${indent}-${inItem(toYaml(item, `${indent}  `))}` : `${indent}${scalar(name)}:${toYaml(item, `${indent}  `)}`
  ))
  if (lines.length === 0) return items ? ' []\n' : ' {}\n'
  return `\n${lines.join('')}`
}

/** The first line of a list's item stands beside its dash. */
function inItem (yaml: string): string {
  return yaml.startsWith('\n') ? ` ${yaml.trimStart()}` : yaml
}

/** Text without quotes only where it cannot be anything else. */
function scalar (value: unknown): string {
  const isPlain = typeof value === 'string' && /^[a-z_/$][\w ./(){}=-]*$/i.test(value) && !/^(y|n|yes|no|on|off|true|false|null)$|\s$/i.test(value)
  return isPlain ? value : JSON.stringify(value)
}

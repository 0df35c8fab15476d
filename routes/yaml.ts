// Writes plain data as YAML 1.2 in block style.

/** Supports objects, arrays, strings, numbers and booleans. Undefined properties are left out. */
export function toYaml (value: unknown, indent = ''): string {
  if (typeof value !== 'object' || value === null) return ` ${scalar(value)}\n`
  const items = Array.isArray(value)
  const lines = Object.entries(value).filter(([, item]) => item !== undefined).map(([name, item]) => (
    indent + (items ? `-${inItem(toYaml(item, `${indent}  `))}` : `${scalar(name)}:${toYaml(item, `${indent}  `)}`)
  ))
  if (lines.length === 0) return items ? ' []\n' : ' {}\n'
  return `\n${lines.join('')}`
}

/** Places the first line of a list item after its dash. */
function inItem (yaml: string): string {
  return yaml.startsWith('\n') ? ` ${yaml.trimStart()}` : yaml
}

/** Strings are quoted unless they cannot be read as anything else. */
function scalar (value: unknown): string {
  const isPlain = typeof value === 'string' && /^[a-z_/$][\w ./(){}=-]*$/i.test(
    value
  ) && !/^(y|n|yes|no|on|off|true|false|null)$|\s$/i.test(value)
  return isPlain ? value : JSON.stringify(value)
}

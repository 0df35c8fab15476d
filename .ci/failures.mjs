// Reads the output of tap and prints a line for each assertion that failed.
// Usage: node .ci/failures.mjs NAME-OF-THE-RUN < LOG
import { createInterface } from 'node:readline'

/** Failures by depth, until tap reports the test around them. */
const waiting = []
let leaf
let isInDetails = false

for await (const line of createInterface({ input: process.stdin })) {
  const text = line.trim()
  if (isInDetails) {
    if (text === '...') isInDetails = false
    else if (leaf !== undefined) {
      leaf.file ??= /^fileName: (.*)/.exec(text)?.[1]
      leaf.line ??= /^lineNumber: (.*)/.exec(text)?.[1]
    }
    continue
  }
  if (text === '---') {
    isInDetails = true
    continue
  }
  const [, indent, not, title] = /^((?: {4})*)(not )?ok \d+ - (.*?)(?: # time=\S+)?$/.exec(line) ?? []
  if (title === undefined) continue
  const depth = indent.length / 4
  const inner = waiting[depth + 1] ?? []
  waiting[depth + 1] = []
  leaf = undefined
  if (not === undefined || / # (?:SKIP|TODO)/i.test(title)) continue
  if (inner.length === 0) inner.push(leaf = { titles: [] })
  for (const { titles } of inner) titles.unshift(title)
  waiting[depth] = [...waiting[depth] ?? [], ...inner]
}
for (const { titles, file, line } of waiting[0] ?? []) {
  const place = file === undefined ? '' : ` (${file}:${line})`
  console.log(`failed: ${process.argv[2]}: ${titles.join(' > ')}${place}`)
}

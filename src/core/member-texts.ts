// Finds the texts of values within JSON, so that they are stored as they were written: parsing would change numbers
// with many digits.

/**
 * The text of the member `name` of each object in a JSON array, the last one if it has several; undefined for objects
 * without. `json` is valid, and its elements are objects.
 */
export function memberTexts (json: string, name: string): Array<string | undefined> {
  const texts: Array<string | undefined> = []
  let depth = 0
  let member = ''
  /** Where the value of a member starts: it is followed by ',' or '}'. */
  let start: number | undefined
  for (let i = 0; i < json.length; i++) {
    switch (json[i]) {
      case '"': {
        const end = endOfString(json, i)
        if (depth === 2 && start === undefined) member = json.slice(i, end)
        i = end - 1
        break
      }
      case ':':
        if (depth === 2) start = i + 1
        break
      case '{':
      case '[':
        if (++depth === 2) texts.push(undefined)
        break
      case '}':
      case ']':
      case ',':
        if (depth === 2 && start !== undefined) {
          if (JSON.parse(member) === name) texts[texts.length - 1] = json.slice(start, i).trim()
          start = undefined
        }
        if (json[i] !== ',') depth--
    }
  }
  return texts
}

/** The position after the string that starts at `start`. */
function endOfString (json: string, start: number): number {
  for (let end = json.indexOf('"', start + 1); ; end = json.indexOf('"', end + 1)) {
    let backslashes = 0
    while (json[end - 1 - backslashes] === '\\') backslashes++
    if (backslashes % 2 === 0) return end + 1
  }
}

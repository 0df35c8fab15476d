// Suggestions for misspelled words.

const MAX_EDITS = 2

/** `; did you mean …?` with the closest name, or nothing if none is close. */
export function suggestion (word: string, names: string[]): string {
  let nearest: string | undefined
  let least = Math.min(MAX_EDITS, word.length - 2) + 1
  for (const name of names) {
    const edits = distance(word, name)
    if (edits >= least) continue
    least = edits
    nearest = name
  }
  return nearest === undefined ? '' : `; did you mean ${nearest}?`
}

/** Number of characters to insert, delete, replace or swap with the next: optimal string alignment. */
function distance (a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)]
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      row.push(Math.min(
        rows[i - 1]![j]! + 1,
        row[j - 1]! + 1,
        rows[i - 1]![j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1),
        isSwap ? rows[i - 2]![j - 2]! + 1 : Infinity
      ))
    }
    rows.push(row)
  }
  return rows[a.length]![b.length]!
}

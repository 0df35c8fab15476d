/** Internal methods of Node's Buffer that are faster than `write` and `toString`. */
export interface FastBuffer extends Buffer {
  latin1Write (text: string, at: number): number
  latin1Slice (from: number, to: number): string
  utf8Write (text: string, at: number): number
  utf8Slice (from: number, to: number): string
}

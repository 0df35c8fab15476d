// A set of addresses of an arena, as bitmaps of its pages. It is visited page by page, so whoever reads what is at the
// addresses reads memory in order.

/** Number of units in a page: 2 ** PAGE_BITS. */
const PAGE_BITS = 13
const WORDS = 2 ** (PAGE_BITS - 5)
/** The word after the bitmap: the number of addresses in the page. */
const SIZE = WORDS

export class AddressSet {
  size = 0
  /** By the upper bits of the addresses. Undefined without addresses. */
  readonly #pages: Array<Int32Array | undefined> = []
  /** No page before this one has addresses. */
  #first = 0

  add (address: number): void {
    const number = address >>> PAGE_BITS
    const page = this.#pages[number] ?? this.#addPage(number)
    const word = wordOf(address)
    const bits = page[word]! | 1 << address // by the lowest five bits
    if (bits === page[word]) return
    page[word] = bits
    page[SIZE]!++
    this.size++
  }

  /** Returns whether it was in the set. */
  delete (address: number): boolean {
    const number = address >>> PAGE_BITS
    const page = this.#pages[number]
    if (page === undefined) return false
    const word = wordOf(address)
    const bits = page[word]! & ~(1 << address)
    if (bits === page[word]) return false
    page[word] = bits
    if (--page[SIZE]! === 0) this.#pages[number] = undefined
    this.size--
    return true
  }

  /** The addresses of the first page; none if the set is empty. */
  some (): number[] {
    const addresses: number[] = []
    if (this.size === 0) return addresses
    while (this.#pages[this.#first] === undefined) this.#first++
    const page = this.#pages[this.#first]!
    for (let word = 0; word < WORDS; word++) {
      for (let bits = page[word]!; bits !== 0; bits &= bits - 1) {
        addresses.push(this.#first << PAGE_BITS | word << 5 | 31 - Math.clz32(bits & -bits))
      }
    }
    return addresses
  }

  #addPage (number: number): Int32Array {
    const pages = this.#pages
    while (pages.length < number) pages.push(undefined)
    if (number < this.#first) this.#first = number
    const page = new Int32Array(WORDS + 1)
    pages[number] = page
    return page
  }
}

function wordOf (address: number): number {
  return address >>> 5 & WORDS - 1
}

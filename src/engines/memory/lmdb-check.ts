// Checks that LMDB can read a file, without using LMDB: it maps the file into memory, and crashes the process if pages
// are missing or malformed. Values are not checked here; they have checksums.
//
//   page     number u64 | transaction u64 | pad u16 | flags u16 | lower u16 | upper u16 | offset u16 of each node …
//            lower and the offsets count from the end of the head
//   meta     head of a page | magic u32 | version u32 | address u64 | map size u64 | tree of free pages | tree |
//            last page u64 | transaction u64
//   tree     page size u32 | flags u16 | depth u16 | 4 counters u64 | root u64
//   node     low u16 | high u16 | flags u16 | key length u16 | key | value; in a branch the first three are the number
//            of a page
import { open, type FileHandle } from 'node:fs/promises'
import { DamageError } from './disk.js'

const HEAD = 24
const MAGIC = 0xBEEFC0DE
const VERSION = 2
const META_SIZE = HEAD + 136
const FIRST_TREE = HEAD + 24
const TREE_SIZE = 48
const NO_PAGE = 2n ** 64n - 1n
// Flags of pages, and of nodes.
const BRANCH = 1
const LEAF = 2
const OVERFLOW = 4
const IS_LARGE = 1
const MAX_DEPTH = 32

interface Meta {
  roots: bigint[]
  transaction: bigint
}

/** Throws a DamageError. Files with an unknown layout are left to LMDB. */
export async function checkLmdb (name: string): Promise<void> {
  const file = await open(name, 'r')
  try {
    const { size } = await file.stat()
    if (size === 0) return // the process was killed when it had just created it
    const first = await read(file, 0, META_SIZE)
    const pageSize = first.readUInt32LE(FIRST_TREE)
    if (first.readUInt32LE(HEAD) !== MAGIC || pageSize < 512 || pageSize > 65_536) {
      throw new DamageError('it has no header')
    }
    if (first.readUInt32LE(HEAD + 4) !== VERSION) return
    const second = await read(file, pageSize, META_SIZE)
    if (second.readUInt32LE(HEAD) !== MAGIC) throw new DamageError('half of its header is missing')
    const [a, b] = [metaIn(first), metaIn(second)]
    const { roots } = a.transaction > b.transaction ? a : b
    for (const root of roots) if (root !== NO_PAGE) await checkPage(file, pageSize, root, MAX_DEPTH)
  } finally {
    await file.close()
  }
}

function metaIn (page: Buffer): Meta {
  const roots = [0, 1].map(tree => page.readBigUInt64LE(FIRST_TREE + tree * TREE_SIZE + TREE_SIZE - 8))
  return { roots, transaction: page.readBigUInt64LE(META_SIZE - 8) }
}

/** Checks a page of a tree and all pages below it. */
async function checkPage (file: FileHandle, size: number, number: bigint, depth: number): Promise<void> {
  const page = await read(file, Number(number) * size, size)
  const flags = page.readUInt16LE(18)
  const lower = page.readUInt16LE(20)
  const kind = flags & (BRANCH | LEAF)
  const isKnown = kind !== 0 && kind !== (BRANCH | LEAF)
  if (page.readBigUInt64LE(0) !== number || !isKnown || lower > size - HEAD || depth === 0) {
    throw new DamageError(`page ${number} is not part of a tree`)
  }
  for (let at = 0; at < lower; at += 2) {
    const node = HEAD + page.readUInt16LE(HEAD + at)
    if (node < HEAD + lower || node + 8 > size) throw new DamageError(`page ${number} has an invalid node`)
    const low = page.readUInt16LE(node)
    const high = page.readUInt16LE(node + 2)
    const third = page.readUInt16LE(node + 4)
    if (kind === BRANCH) {
      await checkPage(file, size, BigInt(low) + (BigInt(high) << 16n) + (BigInt(third) << 32n), depth - 1)
    } else if ((third & IS_LARGE) !== 0) {
      const value = node + 8 + page.readUInt16LE(node + 6)
      if (value + 8 > size) throw new DamageError(`page ${number} has an invalid node`)
      await checkValue(file, size, page.readBigUInt64LE(value), low + high * 65_536)
    }
  }
}

/** Checks a value with pages of its own: the head of the first page, and that the last page exists. */
async function checkValue (file: FileHandle, size: number, number: bigint, length: number): Promise<void> {
  const head = await read(file, Number(number) * size, HEAD)
  if (head.readBigUInt64LE(0) !== number || (head.readUInt16LE(18) & OVERFLOW) === 0) {
    throw new DamageError(`page ${number} is not the start of a value`)
  }
  await read(file, Number(number) * size + HEAD + length - 1, 1)
}

async function read (file: FileHandle, at: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length)
  if (!Number.isSafeInteger(at)) throw new DamageError('it refers to a page that cannot exist')
  const { bytesRead } = await file.read(buffer, 0, length, at)
  if (bytesRead < length) throw new DamageError('it is truncated')
  return buffer
}

import t from 'tap'
import { BufferPool } from '../../src/core/buffer-pool.js'

const SIZE = 64 * 1024

t.test('a freed buffer is reused for about the same size', async t => {
  const pool = new BufferPool()
  const { buffer } = pool.take(SIZE)
  pool.free(Buffer.from(buffer, 100, 10))
  t.not(pool.take(SIZE + 1).buffer, buffer)
  t.not(pool.take(SIZE / 2).buffer, buffer)
  const reused = pool.take(SIZE - 1000)
  t.equal(reused.buffer, buffer)
  t.equal(reused.length, SIZE - 1000)
  t.not(pool.take(SIZE - 1000).buffer, buffer, 'once')
})

t.test('a buffer is not reused before all loans have ended', async t => {
  const pool = new BufferPool()
  const lent = pool.take(SIZE)
  pool.lend(lent)
  pool.lend(lent)
  pool.free(lent)
  pool.giveBack(lent)
  t.not(pool.take(SIZE).buffer, lent.buffer)
  pool.giveBack(lent)
  t.equal(pool.take(SIZE).buffer, lent.buffer)
  pool.giveBack(lent)
  t.not(pool.take(SIZE).buffer, lent.buffer, 'it is in use again')
  pool.free(lent)
  pool.free(lent)
  t.equal(pool.take(SIZE).buffer, lent.buffer)
  t.not(pool.take(SIZE).buffer, lent.buffer, 'freed twice, reused once')
})

t.test('other buffers are never reused', async t => {
  const pool = new BufferPool()
  const other = Buffer.alloc(SIZE)
  pool.lend(other)
  pool.giveBack(other)
  pool.free(other)
  t.not(pool.take(SIZE).buffer, other.buffer)
})

t.test('unused memory is bounded', async t => {
  const pool = new BufferPool()
  for (const [size, count] of [[2 ** 25, 2], [2 ** 20, 20], [SIZE, 200], [1000, 200]] as const) {
    const taken = Array.from({ length: count }, () => pool.take(size))
    for (const buffer of taken) pool.free(buffer)
    const known = new Set(taken.map(({ buffer }) => buffer))
    const reused = Array.from({ length: count }, () => pool.take(size)).filter(({ buffer }) => known.has(buffer))
    t.ok(reused.length * size <= 4 * 2 ** 20 && reused.length <= 64, `${reused.length} of ${count} × ${size} bytes`)
    t.equal(reused.length > 0, size <= 2 ** 21)
  }
})

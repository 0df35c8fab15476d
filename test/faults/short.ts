// Runs a few rounds of an attack as a test. `SEED=N npm test` repeats a failed run.
import t from 'tap'
import type { Attack } from './attack.js'

export function short (name: string, attack: Attack, rounds: number): void {
  t.test(name, async t => {
    const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31)
    if (!Number.isSafeInteger(seed)) throw new Error(`invalid SEED: expected an integer, got ${process.env.SEED}`)
    t.comment(`SEED=${seed}`)
    const figures = await attack({ seed, rounds, secondsLeft: () => Infinity, owner: t })
    t.comment(JSON.stringify(figures))
    t.pass('held')
  })
}

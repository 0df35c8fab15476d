// The short form of an attack: one test of a few rounds. STRONG_STORE_SEED runs it again as it was.
import t from 'tap'
import type { Attack } from './attack.js'

export function short (name: string, attack: Attack, rounds: number): void {
  t.test(name, async t => {
    const seed = Number(process.env.STRONG_STORE_SEED ?? Date.now() % 2 ** 31)
    t.comment(`STRONG_STORE_SEED=${seed}`)
    const figures = await attack({ seed, rounds, secondsLeft: () => Infinity, owner: t })
    t.comment(JSON.stringify(figures))
    t.pass('held')
  })
}

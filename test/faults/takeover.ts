// Attack: many processes try at once to serve a path where a killed process has left its socket; some are killed at a
// random step.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { PLAIN, cleanEnv } from '../support/serve.js'
import { random, type Attack, type Owner } from './attack.js'

const PROGRAM = fileURLToPath(new URL('./contender.js', import.meta.url))
const CONTENDERS = 20
/** More steps than any attempt takes, so it is never killed. */
const ALL = 1e9

interface Contender {
  /** Resolves with its output; 'killed' if it was killed instead. */
  tell (line: string): Promise<string>
  kill (): Promise<void>
}

async function begin (owner: Owner, seed: number): Promise<Contender> {
  const child = spawn('env', [...PLAIN, process.execPath, PROGRAM, String(seed)], {
    env: cleanEnv(), stdio: ['pipe', 'pipe', 'inherit']
  })
  owner.teardown(() => { child.kill('SIGKILL') })
  child.stdin.on('error', () => {}) // killed before reading
  const exited = once(child, 'exit')
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  assert.equal((await lines.next()).value, 'ready')
  return {
    async tell (line) {
      child.stdin.write(line + '\n')
      return (await lines.next() as { value?: string }).value ?? 'killed'
    },
    async kill () {
      child.kill('SIGKILL')
      await exited
    }
  }
}

export const takeover: Attack = async ({ seed, rounds, secondsLeft, owner }) => {
  const folder = mkdtempSync(join(tmpdir(), 'takeover-'))
  owner.teardown(() => { rmSync(folder, { recursive: true }) })
  const path = join(folder, 'socket')
  const next = random(seed)
  const figures = { rounds: 0, 'processes killed': 0, 'killed while serving': 0 }
  const start = (): Promise<Contender> => begin(owner, Math.floor(next() * 2 ** 31))
  const contenders = await Promise.all(Array.from({ length: CONTENDERS }, start))
  while (figures.rounds < rounds && secondsLeft() > 0) {
    figures.rounds++
    const doomed = Math.floor(next() * 5)
    const outcomes = await Promise.all(
      contenders.map((contender, i) => contender.tell(`serve ${path} ${i < doomed ? Math.floor(next() * 12) : ALL}`))
    )
    assert.ok(outcomes.every(outcome => ['serves', 'in use', 'killed'].includes(outcome)), outcomes.join())
    let serving = outcomes.indexOf('serves')
    assert.equal(serving, outcomes.lastIndexOf('serves'), `two serve at the same time: ${outcomes.join()}`)
    if (serving === -1) { // the winner was killed
      assert.ok(outcomes.includes('killed'))
      serving = CONTENDERS - 1
      assert.equal(await contenders[serving]!.tell(`serve ${path} ${ALL}`), 'serves')
    }
    for (const [i, outcome] of outcomes.entries()) {
      if (outcome !== 'killed') continue
      figures['processes killed']++
      contenders[i] = await start()
    }
    assert.equal(await contenders[(serving + 1) % CONTENDERS]!.tell(`serve ${path} ${ALL}`), 'in use')
    if (next() < 0.2) {
      assert.equal(await contenders[serving]!.tell('close'), 'closed')
      assert.ok(!readdirSync(folder).includes('socket'))
    } else {
      await contenders[serving]!.kill()
      figures['processes killed']++
      figures['killed while serving']++
      contenders[serving] = await start()
    }
  }
  await Promise.all(contenders.map(contender => contender.kill()))
  return { ...figures, 'files left by killed processes': readdirSync(folder).length }
}

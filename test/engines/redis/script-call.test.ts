// The arguments of the scripts have the same names, in the same order, where they are sent and where they are read.
import t from 'tap'
import { ARGUMENTS, CALL_ARGUMENTS, scriptCall } from '../../../src/engines/redis/script-call.js'
import { TEXT } from '../../../src/engines/redis/scripts.js'

/** The names in the line of a script that reads its arguments. */
function namesIn (script: string): string[] {
  const [, names] = new RegExp(`^function scripts\\.${script} \\(keys, args\\)\n  local (.+) = unpack\\(args\\)$`, 'm').exec(TEXT) ?? []
  return names?.split(', ') ?? []
}

t.test('scripts read the arguments that are sent', async t => {
  for (const [script, names] of Object.entries(ARGUMENTS)) t.strictSame(namesIn(script), names, script)
  const [, names] = /local (.+) = unpack\(args, i, i \+ 4\)/.exec(TEXT)!
  t.strictSame(names!.split(', '), CALL_ARGUMENTS)
})

t.test('arguments are sent in order', async t => {
  const { args } = scriptCall('clear', { life: '4', prefix: '2', who: '1', nowait: '3' })
  t.strictSame(args, ['1', '2', '3', '4'])
})

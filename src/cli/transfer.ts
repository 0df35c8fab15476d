// `export` and `import`: a store as NDJSON, to standard output and from standard input.
import type { ImportOptions } from '../api/import.js'
import { CLIENT, withStore } from './client.js'
import type { Command } from './command.js'
import { EXIT, Exit, invalid } from './exit.js'
import { Output } from './output.js'
import { Progress } from './progress.js'
import { local, type Flags } from './settings.js'

const { json, ...FLAGS } = CLIENT
const TRANSFER: Flags = { ...FLAGS, quiet: { help: 'do not show the progress, even if standard error is a terminal' } }

export const exportCommand: Command = {
  usage: '[COLLECTION]',
  summary: 'Prints all keys with their values and expiry times, and the options of their collections, as NDJSON.',
  details: 'Each key is printed as it is when it is read. `strong-store import` reads this, into a store at any URL.',
  flags: TRANSFER,
  run: (settings, io) => withStore(settings, async store => {
    const [name] = settings.args
    const output = new Output(io.stdout, true)
    const progress = new Progress(io.stderr, settings.isOn('quiet') || io.stdout.isTTY)
    let isEmpty = true
    for await (const lines of store.export({ collections: name === undefined ? undefined : [name] })) {
      isEmpty = false
      await output.text(lines)
      progress.add(lines)
    }
    progress.end()
    if (isEmpty && name !== undefined && await store.collection(name).stats() === undefined) {
      throw new Exit(EXIT.NO_VALUE, `there is no collection ${JSON.stringify(name)}`)
    }
    return EXIT.OK
  })
}

export const importCommand: Command = {
  usage: '',
  summary: 'Reads the output of `strong-store export` from standard input, and writes it to the store.',
  details: 'Ends at the first line that fails, which the error names. Lines before it have been written.',
  flags: {
    ...local({
      mode: { value: 'MODE', help: 'merge, the default: overwrite existing keys; replace: clear their collections first; absent: keep existing keys' }
    }),
    ...TRANSFER
  },
  run: (settings, io) => withStore(settings, async store => {
    if (io.stdin.isTTY) throw invalid('expected lines of an export on standard input: strong-store import < FILE')
    const progress = new Progress(io.stderr, settings.isOn('quiet'))
    const mode = settings.get('mode') as ImportOptions['mode']
    const result = await store.import(progress.of(io.stdin), { mode })
    progress.end()
    await new Output(io.stdout, false).value(result)
    return EXIT.OK
  })
}

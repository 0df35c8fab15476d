// `watch`: the contents of a collection, then each change.
import { CLIENT, withStore } from './client.js'
import type { Command } from './command.js'
import { EXIT } from './exit.js'
import { Output } from './output.js'
import { local } from './settings.js'

export const watch: Command = {
  usage: 'COLLECTION [KEY]',
  summary: 'Prints the contents of a collection, or a key, then each change, until it is stopped.',
  details: 'Events are set, del, expired and evicted, with the latest state of a key. `ready` ends what was there; ' +
    '`reset` says that some were missed, and what is there follows.',
  flags: {
    ...local({
      prefix: { value: 'TEXT', help: 'only keys with this prefix' },
      'no-values': { help: 'without the values' }
    }),
    ...CLIENT
  },
  run: (settings, io) => withStore(settings, async store => {
    const [name, key] = settings.args as [string, string?]
    const output = new Output(io.stdout, settings.isOn('json'))
    const target = { key, prefix: settings.get('prefix') }
    const collection = store.collection(name).text
    const isPlain = settings.isOn('no-values')
    const events = isPlain ? collection.watch({ ...target, values: false }) : collection.watch(target)
    for await (const event of events) {
      const { type, value, ...more } = { value: undefined, ...event }
      await output.event(type, more, value)
    }
    return EXIT.OK
  })
}

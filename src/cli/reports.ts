// `collections`, `locks`, `stats` and `check`.
import { CLIENT, withStore } from './client.js'
import type { Command } from './command.js'
import { EXIT } from './exit.js'
import { Output } from './output.js'

const CHECK_SECONDS = 2

export const collections: Command = {
  usage: '',
  summary: 'Lists the collections with their contents and options.',
  flags: CLIENT,
  run: (settings, io) => withStore(settings, async store => {
    const output = new Output(io.stdout, settings.isOn('json'))
    let cursor: string | undefined
    do {
      const page = await store.page({ cursor })
      await output.rows(page.collections.map(({ name, ...stats }) => ({ name, ...stats })))
      cursor = page.cursor
    } while (cursor !== undefined)
    return EXIT.OK
  })
}

export const locks: Command = {
  usage: '',
  summary: 'Lists up to a thousand held locks with owner, start and number of waiters.',
  flags: CLIENT,
  run: (settings, io) => withStore(settings, async store => {
    const held = await store.locks()
    await new Output(io.stdout, settings.isOn('json')).rows(
      held.map(({ collection, key, owner, fence, since, expiresAt, waiters }) => {
        return { collection, key, owner, fence, since, expiresAt, waiters }
      })
    )
    return EXIT.OK
  })
}

export const stats: Command = {
  usage: '',
  summary: 'Prints totals over all collections, and statistics of the process that has them.',
  flags: CLIENT,
  run: (settings, io) => withStore(settings, async store => {
    await new Output(io.stdout, settings.isOn('json')).value(await store.stats())
    return EXIT.OK
  })
}

export const check: Command = {
  usage: '',
  summary: 'Exits with 0 when the store replies: for HEALTHCHECK, ExecStartPost= and scripts that wait for it.',
  details: `--timeout is ${CHECK_SECONDS} by default. The store may start within that time.`,
  flags: CLIENT,
  run: settings => withStore(settings, async store => {
    await store.ping()
    return EXIT.OK
  }, settings.number('timeout') ?? CHECK_SECONDS)
}

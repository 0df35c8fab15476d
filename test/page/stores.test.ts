// The admin page with a store in a process that is killed, with a store in Redis, and with the largest values.
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createStore, type Store } from '../../src/index.js'
import { TOKEN, serveAdmin } from '../support/admin.js'
import { NO_BROWSER, hasBrowser, launch, logIn, openTab, type Tab } from '../support/browser.js'
import { NO_REDIS, hasRedis, startServer } from '../support/redis.js'
import { directory, serve } from '../support/serve.js'

const MAX_VALUE_BYTES = 2 ** 20

t.test('the admin page with other stores', { skip: !hasBrowser && NO_BROWSER }, run)

async function run (t: Test): Promise<void> {
  const browser = await launch(t)

  /** A tab that is logged in, at a view of the store. */
  async function open (t: Test, store: Store, hash: string): Promise<Tab & { base: string }> {
    const { origin } = await serveAdmin(t, store)
    const base = `${origin}/_store/v1/`
    const tab = await openTab(t, browser, base + hash)
    await logIn(tab.page, TOKEN)
    return { ...tab, base }
  }

  t.test('the page recovers when the process of the store is killed and restarted', async t => {
    const path = join(directory(t), 's')
    const first = await serve(t, ['--socket', path])
    const store = createStore({ url: `unix:${path}`, connectTimeout: 1 })
    t.teardown(() => store.close())
    const c = store.collection('c')
    await c.set('a', 1)
    const { page, complaints, base } = await open(t, store, '#/collections/c/changes')
    const trouble = page.getByRole('alert').filter({ hasText: /^The store cannot be reached.* Trying again…$/ })
    await page.getByText('0 changes since you opened this view.').waitFor()
    first.kill('SIGKILL')
    await first.exited
    await trouble.waitFor()
    for (const hash of ['#/overview', '#/collections', '#/collections/c/keys/a', '#/']) {
      await page.goto(base + hash)
      await page.locator('main.stale').waitFor()
      await trouble.waitFor()
    }
    await page.goto(`${base}#/collections/c/changes`)
    await trouble.waitFor()

    const second = await serve(t, ['--socket', path])
    await trouble.waitFor({ state: 'hidden' })
    await page.getByText('0 changes since you opened this view.').waitFor()
    await c.set('fresh', 1)
    await page.getByRole('row').filter({ hasText: 'fresh' }).waitFor()
    // The same stream continues when the store is lost while the stream is open.
    second.kill('SIGKILL')
    await second.exited
    await trouble.waitFor()
    await serve(t, ['--socket', path])
    await trouble.waitFor({ state: 'hidden' })
    await c.set('later', 1)
    await page.getByRole('row').filter({ hasText: 'later' }).waitFor()
    await page.getByRole('row').filter({ hasText: 'fresh' }).waitFor()
    t.strictSame(complaints, [])
  })

  t.test('values of exactly 1 MiB are shown and edited', async t => {
    const store = createStore('memory:')
    const c = store.collection('c')
    const { page, complaints, base } = await open(t, store, '')
    const texts = {
      string: JSON.stringify('a' + '\n'.repeat((MAX_VALUE_BYTES - 4) / 2) + 'z'),
      list: `[${'1,'.repeat((MAX_VALUE_BYTES - 4) / 2)}10]`
    }
    for (const [key, text] of Object.entries(texts)) {
      t.equal(Buffer.byteLength(text), MAX_VALUE_BYTES)
      await c.text.set(key, text)
      await page.goto(`${base}#/collections/c/keys/${key}`)
      await page.getByText('1 MiB').waitFor()
      const input = page.getByRole('textbox', { name: 'Value as JSON text' })
      t.equal(await input.inputValue(), text)
      const changed = text.replace('"a', '"b').replace('[1,', '[2,')
      await input.fill(changed)
      await page.getByRole('button', { name: 'Save' }).click()
      await page.getByText('Saved.').waitFor()
      t.equal(await c.text.get(key), changed)
      await input.fill(`${changed.slice(0, -1)}0${changed.at(-1)}`)
      await page.getByRole('button', { name: 'Save' }).click()
      await page.getByText('1048577 bytes, the limit is 1048576').waitFor()
      t.equal(await c.text.get(key, { timeout: 10 }), changed, 'the key is not locked')
    }
    t.strictSame(complaints, [])
  })

  t.test('every view works with a store in Redis', { skip: !hasRedis && NO_REDIS }, async t => {
    const server = await startServer(t)
    const store = createStore(server.options)
    t.teardown(() => store.close())
    const c = store.collection('c')
    await c.set('k', { a: 1 }, { ttl: 1000 })
    const lock = await c.acquire('locked', { owner: 'a holder' })
    const waiting = c.get('locked')
    const { page, complaints, base } = await open(t, store, '')
    const views = [
      ['', 'a holder'], ['#/overview', 'Names and values'], ['#/overview', 'reads'],
      ['#/collections', '1 collection.'], ['#/collections/c', 'Of all 1 key'], ['#/collections/c/keys', '1 key.'],
      ['#/collections/c/keys/k', '{1 property}'], ['#/collections/c/keys/locked', 'The key is locked by a holder'],
      ['#/collections/c/keys/none', 'The key has no value'], ['#/collections/c/changes', '0 changes'],
      ['#/collections/c/new', 'Continue'], ['#/locks/c/locked', 'a holder'],
      ['#/locks/c/none', 'The key is not locked'],
      ['#/collections/none', 'It has no keys'], ['#/processes', 'This store does not know the processes that use it.']
    ]
    for (const [hash, text] of views) {
      await page.goto(base + hash)
      await page.getByText(text!).filter({ visible: true }).first().waitFor()
      await page.locator('main:not([aria-busy=true])').waitFor()
      t.notMatch(
        await page.locator('body').innerText(), /NaN|undefined|null|Infinity|Invalid|\[object/,
        `${hash} without missing values`
      )
      t.ok(await page.getByRole('alert').isHidden(), `${hash} without an error`)
    }
    await page.goto(`${base}#/overview`)
    await page.getByText('reads').waitFor()
    const overview = await page.getByRole('main').innerText()
    for (const absent of ['Uptime', 'Event loop', 'Memory', 'Connected processes', 'waiting for locks', 'locks –']) {
      t.notMatch(overview, absent)
    }
    await page.goto(`${base}#/collections/c/changes`)
    await page.getByText('0 changes').waitFor()
    await c.set('fresh', 1)
    await page.getByRole('row').filter({ hasText: 'fresh' }).waitFor()
    t.strictSame(complaints, [])
    await lock.release()
    await waiting
  })

  t.test('the overview shows the history before the page was opened, with gaps, and says how far back it goes', async t => {
    const store = createStore('memory:')
    const { page, complaints, base } = await open(t, store, '')
    const keys = page.getByRole('img', { name: /^Keys:/ })
    const line = async (): Promise<string> => (await keys.locator('path').getAttribute('d'))!
    await page.goto(`${base}#/overview`)
    await page.getByText(/^The plots go back \d.*: this server process has seen no more\.$/).waitFor()
    const figures = {
      keys: 7,
      bytes: 7,
      locks: 0,
      waiters: 0,
      reads: 0,
      writes: 0,
      expired: 0,
      evicted: 0,
      uptime: 1,
      calls: { get: 500 },
      waited: 0
    }
    const samples = Array.from({ length: 90 }, (_, i) => ({ age: 899 - 10 * i, ...i === 30 ? {} : { figures } }))
    await page.route('**/history', async route => { await route.fulfill({ json: { samples } }) })
    await page.reload()
    await page.getByText('The plots show the last 15 minutes.').waitFor()
    await page.getByRole('img', { name: /^Keys: now 0; at most 7 in this time/ }).waitFor()
    t.match(await line(), /^M0\.0 [^M]*M[^M]*$/, 'one gap')
    t.notMatch(await page.getByRole('main').innerHTML(), /NaN|undefined/)
    t.strictSame(complaints, [])
  })
}

// The admin page in a browser, as an operator of a store uses it.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import t, { type Test } from 'tap'
import type { Browser, Page } from 'playwright-core'
import { createStore, type Store } from '../../src/index.js'
import { READ_TOKEN, TOKEN, serveAdmin } from '../support/admin.js'
import { NO_BROWSER, hasBrowser, launch, logIn, openTab, type Tab } from '../support/browser.js'

t.test('the admin page in a browser', { skip: !hasBrowser && NO_BROWSER }, run)

async function run (t: Test): Promise<void> {
  const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
  const browser: Browser = await launch(t)
  const store: Store = createStore('memory:')
  const { origin } = await serveAdmin(t, store)
  t.teardown(() => store.close())
  const base = `${origin}/_store/v1/`

  /** A tab that is logged in, at a view. */
  async function open (t: Test, hash = '', { token = TOKEN, ...options }: { token?: string, viewport?: { width: number, height: number }, colorScheme?: 'light' | 'dark' } = {}): Promise<Tab> {
    const tab = await openTab(t, browser, base + hash, options)
    await logIn(tab.page, token)
    return tab
  }

  const row = (page: Page, text: string) => page.getByRole('row').filter({ hasText: text })

  t.test('a wrong token is rejected, a read token cannot change anything, and a write token can', async t => {
    const lock = await store.collection('tokens').acquire('key', { owner: 'somebody' })
    const { page, complaints } = await openTab(t, browser, base)
    const input = page.getByLabel('Token', { exact: true })
    await input.fill('wrong')
    await page.keyboard.press('Enter')
    await page.getByText('That is not a valid token.').waitFor()
    await input.fill(READ_TOKEN)
    await page.keyboard.press('Enter')
    await page.getByText('read only').waitFor()
    await row(page, 'somebody').waitFor()
    t.equal(await page.getByRole('button', { name: /Break/ }).count(), 0)
    await store.collection('tokens').set('other', 1)
    await page.goto(`${base}#/collections/tokens/keys/other`)
    await page.getByRole('textbox', { name: 'Value as JSON text' }).waitFor()
    t.strictSame(
      await page.getByRole('main').getByRole('button').allTextContents(), ['Copy as curl'], 'no other buttons'
    )
    t.equal(await page.getByRole('textbox').getAttribute('readonly'), '')
    await page.reload()
    await page.getByText('read only').waitFor()
    await page.getByRole('button', { name: 'Forget the token' }).click()
    await input.fill(TOKEN)
    await page.keyboard.press('Enter')
    await page.getByText('full access').waitFor()
    await page.getByRole('button', { name: 'Delete…' }).waitFor()
    t.strictSame(complaints, [])
    await lock.release()
  })

  t.test('a lock can be broken, and its owner notices', async t => {
    const carts = store.collection<string>('carts')
    const lock = await carts.acquire('ada/1', { owner: 'a worker that hangs' })
    const lost = new Promise(resolve => { lock.signal.addEventListener('abort', resolve) })
    const next = carts.acquire('ada/1', { owner: 'a worker that waits' })
    const { page, complaints } = await open(t)
    await row(page, 'a worker that hangs').getByText('1: a worker that waits (acquire)').waitFor()
    // By keyboard alone: Escape does nothing, and the focus returns.
    const button = page.getByRole('button', { name: 'Break the lock of "ada/1" in "carts"' })
    await button.focus()
    await page.keyboard.press('Enter')
    const dialog = page.getByRole('dialog')
    await dialog.getByText('1 call waits for the key').waitFor()
    t.match(await dialog.textContent(), /a worker that hangs has held it for .*STORE_LOCK_LOST/)
    await page.keyboard.press('Escape')
    await dialog.waitFor({ state: 'detached' })
    t.ok(lock.held)
    t.equal(
      await page.evaluate('document.activeElement.getAttribute("aria-label")'), 'Break the lock of "ada/1" in "carts"'
    )
    await page.keyboard.press('Enter')
    await page.keyboard.press('Tab')
    while ((await page.evaluate('document.activeElement.textContent')) !== 'Break the lock') {
      await page.keyboard.press('Tab')
    }
    await page.keyboard.press('Enter')
    await lost
    t.throws(() => { lock.set('too late') }, { code: 'STORE_LOCK_LOST' })
    const second = await next
    await row(page, 'a worker that waits').waitFor()
    await page.getByText('The lock of "ada/1" in "carts" is broken.').waitFor()

    // A lock that is acquired while the dialog is open is not broken.
    await button.click()
    await dialog.waitFor()
    await second.release()
    const third = await carts.acquire('ada/1', { owner: 'a third' })
    await dialog.getByRole('button', { name: 'Break the lock' }).click()
    await page.getByText('Nothing was broken').waitFor()
    t.ok(third.held)
    await third.release()
    await page.getByText('No key is locked.').waitFor()
    t.strictSame(complaints, [])
  })

  t.test('axe finds no violations in any view, in light and dark and on a phone', async t => {
    const views = store.collection('views')
    for (let i = 0; i < 120; i++) await views.set(`key ${i}`, { list: [1, { two: 'x'.repeat(600) }], flag: true })
    const lock = await views.acquire('key 1', { owner: 'pid 1 on a-host-with-a-rather-long-name.example' })
    views.get('key 1').catch(() => {})
    const hashes = [
      ['', 'Locks'], ['#/locks/views/key%201', 'Lock of key 1'], ['#/locks/views/none', 'Lock of none'],
      ['#/overview', 'Overview'], ['#/collections', 'Collections'], ['#/collections/views', 'Collection views'],
      ['#/collections/none', 'Collection none'], ['#/collections/views/keys', 'Keys of views'],
      ['#/collections/views/keys?prefix=key%2011', 'Keys of views'], ['#/collections/views/keys/key%202', 'key 2'],
      ['#/collections/views/keys/key%201', 'key 1'], ['#/collections/views/keys/none', 'none in views'],
      ['#/collections/views/changes', 'Changes of views'], ['#/collections/views/new', 'Add a key to views'],
      ['#/processes', 'Processes'], ['#/none', 'There is no such view']
    ] as const
    const dark = { colorScheme: 'dark' as const, viewport: { width: 360, height: 640 } }
    for (const options of [{ colorScheme: 'light' as const }, dark]) {
      const { page, complaints } = await openTab(t, browser, base, options)
      const check = async (what: string): Promise<void> => {
        await page.evaluate(axe)
        const found = await page.evaluate('axe.run().then(({ violations }) => violations.map(({ id, nodes }) => id + ": " + nodes.map(({ html }) => html).join()))')
        t.strictSame(found, [], `${what} ${options.colorScheme}`)
        t.equal(await page.evaluate('document.documentElement.scrollWidth <= innerWidth'), true, `${what} fits`)
      }
      await page.getByLabel('Token', { exact: true }).waitFor()
      await check('login')
      await logIn(page, TOKEN)
      for (const [hash, title] of hashes) {
        await page.goto(base + hash)
        await page.getByRole('heading', { level: 1, name: title }).waitFor()
        await page.locator('main[aria-busy=false]').waitFor()
        await check(hash)
      }
      await page.goto(`${base}#/collections/views/keys/key%202`)
      await page.getByRole('button', { name: 'Delete…' }).click()
      await page.getByRole('dialog').getByText('As a command').click()
      await check('the question')
      t.strictSame(complaints, [])
    }
    await lock.release()
  })

  t.test('an edit keeps the expiry of the key, and is rejected if the value has changed', async t => {
    const drafts = store.collection<unknown>('drafts')
    await drafts.set('a', { n: 1 }, { ttl: 3600 })
    const { page, complaints } = await open(t, '#/collections/drafts/keys/a')
    const text = page.getByRole('textbox', { name: 'Value as JSON text' })
    const save = page.getByRole('button', { name: 'Save' })
    await text.fill('{ "n": 12345678901234567890, ')
    await save.click()
    await page.getByText(/This is not JSON/).waitFor()
    await text.fill('{ "n": 12345678901234567890 }')
    await save.click()
    await page.getByText('Saved.').waitFor()
    t.equal(await drafts.text.get('a'), '{"n":12345678901234567890}', 'numbers keep all digits')
    t.ok((await drafts.entry('a', { peek: true }))!.expiresAt!.getTime() > Date.now() + 3_000_000)

    // A change by another process is noticed during the edit, and otherwise rejected by the store.
    await text.fill('{"mine":true}')
    await drafts.set('a', { theirs: 1 })
    await page.getByText('The value was changed since you began').waitFor()
    t.equal(await text.inputValue(), '{"mine":true}')
    t.ok(await save.isDisabled())
    await page.getByRole('button', { name: 'Keep my text' }).click()
    let isRaced = false
    await page.route('**/collections/drafts/locks/a', async route => {
      if (!isRaced) await drafts.set('a', { theirs: 2 })
      isRaced = true
      await route.continue()
    })
    await save.click()
    await page.getByText('Not saved: the value was changed in the meantime.').waitFor()
    t.strictSame(await drafts.get('a'), { theirs: 2 }, 'the key is not locked')
    await page.unroute('**/collections/drafts/locks/a')
    await page.getByRole('button', { name: 'Keep my text' }).click()
    await save.click()
    await page.getByText('Saved.').waitFor()
    t.strictSame(await drafts.get('a'), { mine: true })

    await page.getByLabel('Seconds from now').fill('500')
    await page.getByRole('button', { name: 'Set the expiry' }).click()
    await page.getByText('The expiry is set.').waitFor()
    t.ok((await drafts.entry('a', { peek: true }))!.expiresAt)
    await page.getByRole('button', { name: 'No expiry' }).click()
    await page.getByText('The key has no expiry now.').waitFor()
    t.equal((await drafts.entry('a', { peek: true }))!.expiresAt, undefined)
    await page.getByRole('button', { name: 'Delete…' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Delete the key' }).click()
    await page.getByText('The key has no value.').waitFor()
    t.equal(await drafts.has('a'), false)
    await text.fill('["new"]')
    await save.click()
    await page.getByText('Saved.').waitFor()
    t.strictSame(await drafts.get('a'), ['new'])
    t.strictSame(complaints, [])
  })

  t.test('hostile names and values are always shown as text', async t => {
    const names = [
      '<img src=x onerror=alert(1)>', '__proto__', 'constructor', '😀'.repeat(200), 'a\'b"c\\d', 'a/../b?c#d%20', ' ',
      '\u202eevil', 'new\nline', 'k'.repeat(1024)
    ]
    const value = {
      '<img src=x onerror=alert(2)>': '<script>alert(3)</script>',
      ['__proto__']: { polluted: '😀' },
      long: 'y'.repeat(900_000),
      deep: JSON.parse('['.repeat(2000) + ']'.repeat(2000)) as unknown
    }
    const { page, complaints } = await open(t)
    for (const name of names.slice(1, 5)) await store.collection(name).set('k', 1)
    const hostile = store.collection(names[0]!)
    for (const name of names) await hostile.text.set(name, JSON.stringify(value))
    const locks = await Promise.all(
      names.map(name => store.collection('__proto__').acquire(name, { owner: names[0]! }))
    )
    await row(page, '__proto__').first().waitFor()
    t.equal(await page.getByRole('row').count(), names.length + 1)
    await page.goto(`${base}#/collections`)
    await row(page, names[0]!).waitFor()
    await page.getByRole('link', { name: names[0]!, exact: true }).click()
    await page.getByText(`Of all ${names.length} keys.`).waitFor()
    await page.goto(`${base}#/collections/${encodeURIComponent(names[0]!)}/keys`)
    await page.getByText(`${names.length} keys.`).waitFor()
    for (const name of names) {
      await page.goto(`${base}#/collections/${encodeURIComponent(names[0]!)}/keys/${encodeURIComponent(name)}`)
      await page.getByText('{4 properties}').waitFor()
      await page.getByText('alert(3)').first().waitFor()
    }
    await page.getByText('Show all 900,000 characters').click()
    await page.getByText('y'.repeat(2000)).waitFor()
    t.equal(await page.evaluate('({}).polluted'), undefined)
    t.equal(await page.locator('img, main script').count(), 0)
    await page.goto(`${base}#/collections/c/keys/..`)
    await page.getByText('cannot be part of a URL').waitFor()
    await page.goto(`${base}#/collections/%zz`)
    await page.getByText('There is no such view').waitFor()
    t.strictSame(complaints, [])
    for (const lock of locks) await lock.release()
  })

  t.test('a hundred thousand keys: search, biggest keys, live changes, and navigating back', async t => {
    const many = store.collection<number | string>('many')
    await many.setMany(Array.from({ length: 100_000 }, (_, i) => [`user/${i}`, i] as const))
    await many.set('needle/1', 'x'.repeat(5000))
    const { page, complaints } = await open(t, '#/collections/many/keys')
    await page.getByText('100 keys; there are more.').waitFor()
    await page.getByRole('link', { name: 'Next page' }).click()
    await page.getByRole('link', { name: 'First page' }).waitFor()
    await page.goBack()
    await page.getByRole('link', { name: 'First page' }).waitFor({ state: 'detached' })
    await page.getByLabel('Keys that begin with').fill('needle')
    await page.keyboard.press('Enter')
    await page.getByText('1 key.', { exact: true }).waitFor()
    t.match(page.url(), '#/collections/many/keys?prefix=needle')
    await page.getByRole('link', { name: 'needle/1' }).click()
    await page.getByRole('heading', { name: 'needle/1 in many' }).waitFor()
    await page.goBack()
    await page.getByRole('heading', { name: 'Keys of many' }).waitFor()
    t.equal(await page.getByLabel('Keys that begin with').inputValue(), 'needle')
    await page.goto(`${base}#/collections/many`)
    await page.getByText('Of the first 100,000 keys.').waitFor()
    await page.getByRole('button', { name: 'Examine more keys' }).click()
    await page.getByText('Of all 100,001 keys.').waitFor()
    await page.getByRole('link', { name: 'needle/1' }).waitFor()
    await page.getByRole('link', { name: 'Live changes' }).click()
    await page.getByLabel('Keys that begin with').fill('fresh')
    await page.keyboard.press('Enter')
    await page.getByText('0 changes since you opened this view.').waitFor()
    await many.set('fresh', 1)
    await many.del('fresh')
    await row(page, 'fresh').first().waitFor()
    await row(page, 'del').waitFor()
    t.strictSame(complaints, [])
    await many.clear()
  })

  t.test('the page recovers when the server and the store can be reached again', async t => {
    const { page, complaints } = await open(t, '#/overview')
    await page.getByRole('heading', { name: 'Locks', exact: true }).waitFor()
    await page.goto(`${base}#/collections`)
    await page.context().setOffline(true)
    await page.getByText('The server cannot be reached. Trying again…').waitFor()
    await page.context().setOffline(false)
    await page.getByText('The server cannot be reached. Trying again…').waitFor({ state: 'hidden' })
    await page.route('**/_store/v1/collections?*', async route => {
      await route.fulfill({
        status: 503,
        contentType: 'application/problem+json',
        body: '{"title":"No store answers","status":503,"code":"STORE_UNREACHABLE"}'
      })
    })
    await page.getByText('No store answers. Trying again…').waitFor()
    await page.unroute('**/_store/v1/collections?*')
    await page.getByText('No store answers.').waitFor({ state: 'hidden' })
    t.strictSame(complaints, [])
  })

  t.test('options can be changed, and commands can be copied', async t => {
    const bounded = store.collection('bounded')
    await bounded.set('k', 1)
    const { page, complaints } = await open(t, '#/collections/bounded')
    await page.locator('summary', { hasText: 'Options' }).click()
    await page.getByLabel('Most keys').fill('5')
    await page.getByRole('button', { name: 'Save the options' }).click()
    await page.getByRole('dialog').getByText('maxKeys = 5').waitFor()
    await page.getByRole('button', { name: 'Change the options' }).click()
    await page.getByText('The options are changed.').waitFor()
    t.match(await bounded.stats(), { maxKeys: 5, maxBytes: 0, expireKeys: 0, evict: true })
    await page.context().grantPermissions(['clipboard-read', 'clipboard-write'])
    await page.getByRole('button', { name: 'Copy as curl' }).click()
    await page.getByText('Copied.').waitFor()
    const command = await page.evaluate('navigator.clipboard.readText()') as string
    t.equal(command, `curl -H "authorization: Bearer $STORE_TOKEN" '${base}collections/bounded'`)
    t.strictSame(complaints, [])
  })
}

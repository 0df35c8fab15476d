// The admin page in a browser, as somebody who looks after a store uses it.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import t, { type Test } from 'tap'
import type { Browser, Page } from 'playwright-core'
import { createStore, type Store } from '../../src/index.js'
import { READ_TOKEN, TOKEN, serveAdmin } from '../support/admin.js'
import { NO_BROWSER, hasBrowser, launch, openTab, type Tab } from '../support/browser.js'

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
    await tab.page.getByLabel('Token', { exact: true }).fill(token)
    await tab.page.keyboard.press('Enter')
    await tab.page.getByRole('navigation').waitFor()
    return tab
  }

  const row = (page: Page, text: string) => page.getByRole('row').filter({ hasText: text })

  t.test('a token that is wrong, then one that reads, then one that may change things', async t => {
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
    t.strictSame(await page.getByRole('main').getByRole('button').allTextContents(), ['Copy as curl'], 'nothing that changes')
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

  t.test('breaks a lock, which application code then notices', async t => {
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
    t.equal(await page.evaluate('document.activeElement.getAttribute("aria-label")'), 'Break the lock of "ada/1" in "carts"')
    await page.keyboard.press('Enter')
    await page.keyboard.press('Tab')
    while (await page.evaluate('document.activeElement.textContent') !== 'Break the lock') await page.keyboard.press('Tab')
    await page.keyboard.press('Enter')
    await lost
    t.throws(() => { lock.set('too late') }, { code: 'STORE_LOCK_LOST' })
    const second = await next
    await row(page, 'a worker that waits').waitFor()
    await page.getByText('The lock of "ada/1" in "carts" is broken.').waitFor()

    // Another holder while somebody reads the question keeps its lock.
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

  t.test('every view, in light and dark and on a phone: axe finds nothing', async t => {
    const views = store.collection('views')
    for (let i = 0; i < 120; i++) await views.set(`key ${i}`, { list: [1, { two: 'x'.repeat(600) }], flag: true })
    const lock = await views.acquire('key 1', { owner: 'pid 1 on a-host-with-a-rather-long-name.example' })
    views.get('key 1').catch(() => {})
    const hashes = [
      ['', 'Locks'], ['#/locks/views/key%201', 'Lock of key 1'], ['#/locks/views/none', 'Lock of none'],
      ['#/overview', 'Overview'], ['#/collections', 'Collections'], ['#/collections/views', 'Collection views'],
      ['#/collections/none', 'Collection none'], ['#/collections/views/keys', 'Keys of views'],
      ['#/collections/views/keys?prefix=key%2011', 'Keys of views'],
      ['#/collections/views/keys/key%202', 'key 2'], ['#/collections/views/keys/key%201', 'key 1'],
      ['#/collections/views/keys/none', 'none in views'], ['#/collections/views/changes', 'Changes of views'],
      ['#/collections/views/new', 'Add a key to views'], ['#/processes', 'Processes'], ['#/none', 'There is no such view']
    ] as const
    for (const options of [{ colorScheme: 'light' as const }, { colorScheme: 'dark' as const, viewport: { width: 360, height: 640 } }]) {
      const { page, complaints } = await openTab(t, browser, base, options)
      const check = async (what: string): Promise<void> => {
        await page.evaluate(axe)
        const found = await page.evaluate('axe.run().then(({ violations }) => violations.map(({ id, nodes }) => id + ": " + nodes.map(({ html }) => html).join()))')
        t.strictSame(found, [], `${what} ${options.colorScheme}`)
        t.equal(await page.evaluate('document.documentElement.scrollWidth <= innerWidth'), true, `${what} fits`)
      }
      await page.getByLabel('Token', { exact: true }).waitFor()
      await check('login')
      await page.getByLabel('Token', { exact: true }).fill(TOKEN)
      await page.keyboard.press('Enter')
      await page.getByRole('navigation').waitFor()
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
}

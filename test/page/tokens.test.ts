// The admin page with tokens that change, invalid URLs, several tabs and proxies.
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import helmet from 'helmet'
import t, { type Test } from 'tap'
import { createStore, type AdminTokenOptions } from '../../src/index.js'
import { expressAdmin } from '../../src/web/express.js'
import { TOKEN, serveAdmin } from '../support/admin.js'
import { NO_BROWSER, hasBrowser, launch, logIn, openTab } from '../support/browser.js'

t.test('the admin page under hostile conditions', { skip: !hasBrowser && NO_BROWSER }, run)

async function run (t: Test): Promise<void> {
  const browser = await launch(t)
  const store = createStore('memory:')
  t.teardown(() => store.close())

  t.test('a token can lose its permissions while the page is open', async t => {
    const c = store.collection('tokens')
    await c.set('k', 1)
    let tokens: AdminTokenOptions[] = [{ name: 'ops', token: 'first', access: 'write' }]
    const { origin, ask } = await serveAdmin(t, store, { tokens: () => tokens })
    const base = `${origin}/_store/v1/`
    const { page, complaints } = await openTab(t, browser, `${base}#/collections/tokens/keys/k`)
    await logIn(page, 'first')
    const text = page.getByRole('textbox', { name: 'Value as JSON text' })
    await text.fill('"a long text"')
    tokens = [{ name: 'ops', token: 'first', access: 'read' }]
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByText('ops: read only').waitFor()
    t.equal(await text.inputValue(), '"a long text"')
    t.equal(await c.get('k'), 1)
    tokens = [{ name: 'ops', token: 'second', access: 'write' }]
    await page.getByText('The token is not valid any more.').waitFor()
    t.equal(await page.getByRole('main').getByText('a long text').count(), 0)
    await logIn(page, 'second')
    await page.getByRole('button', { name: 'Discard my changes' }).waitFor()
    t.equal(await text.inputValue(), '"a long text"', 'the edited text is kept')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByText('Saved.').waitFor()
    t.equal(await c.get('k'), 'a long text')

    // In the views that send no requests by themselves, and with an open dialog.
    for (const hash of [
      '#/overview', '#/collections/tokens/changes', '#/collections/tokens/new', '#/collections/tokens'
    ]) {
      await page.goto(base + hash)
      await page.locator('main:not([aria-busy=true])').waitFor()
      if (hash === '#/collections/tokens') await page.getByRole('button', { name: 'Delete all keys…' }).click()
      tokens = []
      await page.getByText('The token is not valid any more.').waitFor()
      t.equal(await page.getByRole('dialog').count(), 0)
      tokens = [{ name: 'ops', token: 'second', access: 'write' }]
      await logIn(page, 'second')
    }
    t.ok((await store.collection<number>('admin-tries').get('127.0.0.1') ?? 0) < 20, 'other users can still log in')
    t.equal((await ask('GET', '/access')).status, 200)

    // Of one collection only.
    tokens = [{ name: 'ops', token: 'second', access: 'write', collections: ['other'] }]
    await page.goto(`${base}#/collections/tokens`)
    await page.getByText('ops: full access, one collection').waitFor()
    await page.getByRole('alert').filter({ hasText: 'The token does not cover this' }).waitFor()
    await page.goto(`${base}#/overview`)
    await page.getByText('Names and values').waitFor()
    t.strictSame(complaints, [])
  })

  t.test('invalid URLs cause no changes and no requests to other servers', async t => {
    const c = store.collection('links')
    await c.set('k', 1)
    const { origin } = await serveAdmin(t, store)
    const base = `${origin}/_store/v1/`
    const { page, complaints } = await openTab(
      t, browser, `${base}#/collections/links/keys/%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E`
    )
    await logIn(page, TOKEN)
    await page.getByText('The key has no value.').waitFor()
    const requests: string[] = []
    page.on('request', request => { requests.push(`${request.method()} ${new URL(request.url()).pathname}`) })
    const names = [
      '', '//evil.example', 'javascript:alert(1)', '../../access', '\0%', '\ud800', '?force=true#', 'x'.repeat(5000)
    ]
    const hashes = names.flatMap(name => {
      const encoded = name.isWellFormed() ? encodeURIComponent(name) : '%ED%A0%80'
      return [
        `#${name}`,
        `#/collections/${encoded}`,
        `#/collections/links/keys/${encoded}`,
        `#/collections/${encoded}/changes`,
        `#/collections/links/keys?prefix=${encoded}&cursor=${encoded}`,
        `#/collections?filter=${encoded}&sort=${encoded}`,
        `#/locks/links/${encoded}`
      ]
    })
    for (const hash of hashes) {
      await page.evaluate(`location.hash = ${JSON.stringify(hash)}`)
      await page.getByRole('heading', { level: 1 }).waitFor()
      await page.locator('main:not([aria-busy=true])').waitFor()
      t.notMatch(await page.locator('body').innerText(), /NaN|undefined|\[object/, hash.slice(0, 100))
    }
    t.strictSame(
      requests.filter(request => !request.startsWith('GET /_store/v1/')), [], 'only reads of this API'
    )
    t.equal(await page.locator('img, iframe, a[href^="javascript"], a[href^="//"]').count(), 0)
    t.equal(await c.get('k'), 1)
    t.strictSame(complaints, [])
  })

  t.test('edits survive navigation, and changes in another tab are noticed', async t => {
    const c = store.collection<unknown>('tabs')
    await c.set('a', 1)
    await c.set('b', 2)
    const { origin } = await serveAdmin(t, store)
    const base = `${origin}/_store/v1/`
    const { page, complaints } = await openTab(t, browser, `${base}#/collections/tabs/keys/a`)
    await logIn(page, TOKEN)
    const text = page.getByRole('textbox', { name: 'Value as JSON text' })
    await text.fill('"unsaved"')
    await page.goto(`${base}#/collections/tabs/keys/b`)
    await page.getByRole('heading', { name: 'b in tabs' }).waitFor()
    await page.locator('main[aria-busy=false]').waitFor()
    t.equal(await text.inputValue(), '2', 'each key has its own text')
    await page.getByRole('button', { name: 'Delete…' }).click()
    await page.getByRole('dialog').waitFor()
    await page.goBack()
    await page.getByRole('heading', { name: 'a in tabs' }).waitFor()
    t.equal(await page.getByRole('dialog').count(), 0, 'a dialog closes with its view')
    t.equal(await c.get('b'), 2)
    t.equal(await text.inputValue(), '"unsaved"')

    // The other tab requires its own login.
    const other = await page.context().newPage()
    let pass!: () => void
    const passed = new Promise<void>(resolve => { pass = resolve })
    await other.route(/\?peek=true$/, async route => {
      await passed
      await route.continue()
    })
    await other.goto(`${base}#/collections/tabs/keys/a`)
    await logIn(other, TOKEN)
    const otherText = other.getByRole('textbox', { name: 'Value as JSON text' })
    t.equal(await otherText.isEditable(), false, 'the value cannot be edited before it is loaded')
    pass()
    await otherText.fill('"other"')
    await other.getByRole('button', { name: 'Save' }).click()
    await other.getByText('Saved.').waitFor()
    await page.getByText('The value was changed since you began').waitFor()
    t.equal(await text.inputValue(), '"unsaved"')
    await other.getByRole('button', { name: 'Forget the token' }).click()
    await other.getByLabel('Token', { exact: true }).waitFor()
    await page.getByRole('button', { name: 'Keep my text' }).click()

    // The browser asks before the text is lost, and no longer asks after it is saved.
    const asked = page.waitForEvent('dialog')
    page.reload().catch(() => {})
    t.equal((await asked).type(), 'beforeunload')
    t.equal(complaints.splice(0).length, 1)
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByText('Saved.').waitFor()
    t.equal(await c.get('a'), 'unsaved')
    await page.reload()
    await page.getByRole('heading', { name: 'a in tabs' }).waitFor()
    t.strictSame(complaints, [])
  })

  t.test('the page works without the slash, with helmet, and through a proxy that rewrites the path', async t => {
    const app = express()
    app.use(helmet())
    app.use('/deep/er', expressAdmin({ store, admin: { auth: false } }))
    const server = app.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const direct = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const proxy = createServer((request, response) => {
      fetch(
        direct + request.url!.replace('/proxied', '/deep').replace('/other', '/deep/er').replace('/lost', '/deep/er/'),
        { redirect: 'manual' }
      ).then(async answer => {
        response.writeHead(
          answer.status, Object.fromEntries([...answer.headers].filter(([name]) => !/encoding|length/.test(name)))
        )
        response.end(await answer.text())
      }, t.threw)
    }).listen(0, '127.0.0.1')
    await once(proxy, 'listening')
    t.teardown(() => {
      server.close()
      proxy.close()
    })
    const proxied = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`
    const urls = [
      `${direct}/deep/er`, `${direct}/deep/er/`, `${proxied}/proxied/er`, `${proxied}/proxied/er/`, `${proxied}/other/`
    ]
    for (const url of urls) {
      const { page, complaints } = await openTab(t, browser, `${url}#/collections`)
      await page.getByRole('link', { name: 'tabs' }).waitFor()
      t.match(page.url(), /\/#\/collections$/)
      t.strictSame(complaints, [], url)
    }
    const { page } = await openTab(t, browser, `${proxied}/lost`)
    await page.getByText('add a slash to the end of the address').waitFor()
  })
}

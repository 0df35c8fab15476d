// Debian's Chromium, driven by playwright-core.
import { spawnSync } from 'node:child_process'
import type { Test } from 'tap'
import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core'

const EXECUTABLE = ['chromium', 'chromium-browser', 'google-chrome'].find(
  name => spawnSync(name, ['--version'], { env: { ...process.env, NODE_OPTIONS: '' } }).status === 0
)
export const hasBrowser = EXECUTABLE !== undefined
export const NO_BROWSER = 'chromium is not installed: the admin page is not tested in a browser'

/** Timeout in milliseconds of waits that are short unless something fails. */
const TIMEOUT_MS = 60_000

export interface Tab {
  page: Page
  /** Errors reported by the browser, except for rejected requests. */
  complaints: string[]
}

export async function launch (t: Pick<Test, 'teardown'>): Promise<Browser> {
  const path = spawnSync('which', [EXECUTABLE!], { encoding: 'utf8' }).stdout.trim()
  const browser = await chromium.launch({
    executablePath: path,
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-dev-shm-usage', '--disable-background-networking',
      '--disable-component-update', '--disable-sync'
    ],
    timeout: TIMEOUT_MS
  })
  t.teardown(() => browser.close())
  return browser
}

/** A tab with a session of its own. */
export async function openTab (
  t: Pick<Test, 'teardown'>, browser: Browser, url: string, options: BrowserContextOptions = {}
): Promise<Tab> {
  const context = await browser.newContext(options)
  t.teardown(() => context.close())
  context.setDefaultTimeout(TIMEOUT_MS)
  const page = await context.newPage()
  const complaints: string[] = []
  page.on('pageerror', error => { complaints.push(String(error.stack)) })
  page.on('dialog', dialog => {
    complaints.push(`dialog: ${dialog.message()}`)
    dialog.dismiss().catch(() => {})
  })
  page.on('console', message => {
    const isRefusal = /^Failed to load resource/.test(message.text())
    if (message.type() === 'error' && !isRefusal) complaints.push(message.text())
  })
  await page.goto(url)
  return { page, complaints }
}

export async function logIn (page: Page, token: string): Promise<void> {
  await page.getByLabel('Token', { exact: true }).fill(token)
  await page.keyboard.press('Enter')
  await page.getByRole('navigation').waitFor()
}

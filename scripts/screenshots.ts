// npm run screenshots: takes the pictures of docs/admin-page.md with Chromium, of the example server.
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { chromium, type Page } from 'playwright-core'

const TOKEN = 'for-the-screenshots'
const SIZE = { width: 960, height: 560 }
/** The time span of the plots, in seconds. */
const HISTORY_SECONDS = 45

const server = spawn(process.execPath, [fileURLToPath(new URL('../examples/server.js', import.meta.url))], {
  env: { ...process.env, PORT: '0', STORE_TOKEN: TOKEN }, stdio: ['ignore', 'pipe', 'inherit']
})
try {
  let url: string | undefined
  for await (const line of createInterface(server.stdout)) {
    url = /^Admin page: +(\S+)/.exec(line)?.[1]
    if (url !== undefined) break
  }
  server.stdout.resume()
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu']
  })
  const page = await browser.newPage({ viewport: SIZE })
  await page.goto(url!)
  await page.getByLabel('Token', { exact: true }).fill(TOKEN)
  await page.keyboard.press('Enter')
  await page.getByText(/weekly.*: pid/).first().waitFor()
  await shoot(page, 'locks')
  await page.goto(`${url}#/overview`)
  await page.waitForTimeout(HISTORY_SECONDS * 1000)
  await shoot(page, 'overview')
  await browser.close()
} finally {
  server.kill('SIGTERM')
}

async function shoot (page: Page, name: string): Promise<void> {
  await page.screenshot({ path: fileURLToPath(new URL(`../../docs/page-${name}.png`, import.meta.url)) })
}

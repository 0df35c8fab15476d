// openapi.yaml matches the routes and passes the linter.
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { describe, file } from '../../scripts/openapi.js'
import { createStore } from '../../src/index.js'
import { READ_TOKEN, serveAdmin } from '../support/admin.js'

t.test('openapi.yaml is the output of npm run openapi', async t => {
  t.ok(readFileSync(file, 'utf8') === await describe(), 'run `npm run openapi`')
})

t.test('openapi.yaml has the version of the package', async t => {
  const { version } = JSON.parse(
    readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')
  ) as { version: string }
  t.match(readFileSync(file, 'utf8'), `\n  version: "${version}"\n`)
})

t.test('the admin API serves openapi.yaml', async t => {
  const store = createStore('memory:')
  const { ask } = await serveAdmin(t, store)
  const answer = await ask('GET', '/openapi.yaml', { headers: { authorization: `Bearer ${READ_TOKEN}` } })
  t.match(answer, { status: 200, headers: { 'content-type': /^application\/yaml/ } })
  t.equal(answer.text, readFileSync(file, 'utf8'))
})

t.test('openapi.yaml passes the strict rules of Redocly', async t => {
  const cli = fileURLToPath(new URL('../../../node_modules/@redocly/cli/bin/cli.js', import.meta.url))
  const { stderr } = await promisify(execFile)(
    process.execPath,
    [cli, 'lint', file, '--config', fileURLToPath(new URL('../../../redocly.yaml', import.meta.url))],
    { env: { ...process.env, REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true', NODE_OPTIONS: '' } }
  )
  t.match(stderr, /Your API description is valid/)
})

// The commands that use a running store, and how flags are read.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import t, { type Test } from 'tap'
import { EXIT } from '../../src/cli/exit.js'
import { helpOf } from '../../src/cli/command.js'
import { suggestion } from '../../src/cli/nearest.js'
import { Output, type Row } from '../../src/cli/output.js'
import { settingsOf } from '../../src/cli/settings.js'
import { serve as serveCommand } from '../../src/cli/serve.js'
import { Progress } from '../../src/cli/progress.js'
import { createStore, type Store } from '../../src/index.js'
import { BIN, PLAIN, cleanEnv, cli, command, directory, serve } from '../support/serve.js'

const lines = (out: string): any[] => out.trim().split('\n').filter(line => line !== '').map(line => JSON.parse(line))

t.test('the commands read and change a store, and print JSON lines to a pipe', async t => {
  const { url } = await serve(t, ['--socket', join(directory(t), 'socket')])
  const env = { STRONG_STORE_URL: url }
  const run = (...args: string[]): ReturnType<typeof command> => command(args, { env })
  t.match(await run('set', 'c', 'key', '{"a": [1]}'), { code: 0, out: /^{"version":\d+}\n$/ })
  t.strictSame(await run('get', 'c', 'key'), { code: 0, out: '{"a": [1]}\n', err: '' })
  t.match(await run('set', 'c', 'key', '1', '--if-absent'), { code: 1, err: /STORE_EXISTS/ })
  t.match(await run('set', 'c', 'key', '1', '--if-version', '0'), { code: 1, err: /STORE_VERSION_MISMATCH/ })
  t.match(await run('set', 'c', 'key', 'hello'), {
    code: 2, err: /VALUE is not JSON: .*; use --text for a plain string/
  })
  t.match(await run('set', 'c', 'text', 'hello', '--text', '--ttl', '3600'), { code: 0 })
  t.match(await cli(['set', 'c', 'input'], { env, input: '"from a pipe"' }), { code: 0 })
  t.match(lines((await run('keys', 'c')).out).sort((a, b) => a.key < b.key ? -1 : 1), [
    { key: 'input', bytes: 13 }, { key: 'key', version: Number, bytes: 10 }, { key: 'text', expiresAt: /^20/ }
  ])
  t.equal(lines((await run('keys', 'c', '--limit', '2')).out).length, 2)
  t.match(lines((await run('keys', 'c', '--prefix', 'te')).out), [{ key: 'text' }])
  t.match(await run('del', 'c', 'key'), { code: 0, out: '' })
  t.match(await run('del', 'c', 'key'), { code: 5, err: '"key" in collection "c" has no value' })
  t.match(await run('get', 'c', 'key'), { code: 5, out: '', err: /has no value/ })
  t.match(await run('set', 'c', '--', '--odd', '1'), { code: 0 })
  t.match(await run('get', 'c', '--', '--odd'), { code: 0, out: '1\n' })
  t.match(await run('set', 'c', '--odd', '-1'), {
    code: 2, err: /unknown flag --odd; an argument that begins with - follows --, like: -- --odd/
  })
  t.match(
    await run('set', 'c', 'key', '-1', '--if-version', '-1'), { code: 2, err: /invalid ifVersion|ifVersion must/ },
    'negative numbers are values'
  )

  const long = '[12345678901234567890,\n0.1000]\n'
  t.match(await command(['set', 'long', 'key'], { env, input: long }), { code: 0 })
  t.equal((await run('get', 'long', 'key')).out, '[12345678901234567890, 0.1000]\n', 'numbers keep all digits')
  t.match(await run('del', 'long', 'key'), { code: 0 })

  const exported = await run('export')
  t.match(exported, { code: 0, err: '' })
  t.match(lines(exported.out), [{ collection: 'c' }, { collection: 'c' }, { collection: 'c' }])
  t.match(await run('export', 'none'), { code: 5, out: '', err: 'there is no collection "none"' })
  t.match(lines((await run('export', 'c')).out), [{ collection: 'c' }, { collection: 'c' }, { collection: 'c' }])
  t.strictSame(await cli(['import', '--mode', 'absent'], { env, input: exported.out }), {
    code: 0, out: '{"keys":0,"skipped":3}\n', err: ''
  })
  t.match(await command(['import'], { env, input: '{}' }), {
    code: 1, out: '', err: /STORE_VALUE_INVALID: .*line 1: expected the name of a collection/
  })
  t.match(await command(['import', '--mode', 'all'], { env, input: '' }), {
    code: 2, err: /invalid mode: expected merge, replace, absent/
  })

  const store = createStore(url)
  t.teardown(() => store.close())
  await watched(t, url, store)
  // Commands run in this process would share the connection of `store`, and its lock.
  const other = (...args: string[]): ReturnType<typeof cli> => cli(args, { env })
  const lock = await store.collection('c').acquire('held')
  t.match(lines((await other('locks')).out), [
    { collection: 'c', key: 'held', owner: new RegExp(`^pid ${process.pid} on `), waiters: 0 }
  ])
  t.match(await other('get', 'c', 'held', '--timeout', '0.5'), { code: 1, err: /STORE_TIMEOUT/ })
  await lock.release()
  t.match(lines((await other('collections')).out).find(({ name }) => name === 'c'), { keys: 3, maxBytes: 0 })
  t.match(lines((await other('stats')).out), [{ processes: 3 }])
  t.strictSame(await other('check'), { code: 0, out: '', err: '' })
  t.match(await command(['check', '--timeout', '1', '--url', `${url}x`]), {
    code: 1, err: /STORE_UNREACHABLE: .*strong-store serve/
  })
})

/** Tests what `watch` prints while the store changes. */
async function watched (t: Test, url: string, store: Store): Promise<void> {
  const collection = store.collection('watched')
  await collection.set('there', [1])
  const child = spawn('env', [...PLAIN, process.execPath, BIN, 'watch', 'watched', '--url', url], {
    env: cleanEnv(), stdio: ['ignore', 'pipe', 'inherit']
  })
  t.teardown(() => { child.kill('SIGKILL') })
  const events = createInterface(child.stdout)[Symbol.asyncIterator]()
  const next = async (): Promise<unknown> => JSON.parse((await events.next()).value!)
  t.match(await next(), { type: 'set', key: 'there', value: [1], version: Number })
  t.match(await next(), { type: 'ready', revision: Number })
  await collection.text.set('\u001b', '12345678901234567890')
  const line = (await events.next()).value!
  t.match(JSON.parse(line), { type: 'set', key: '\u001b', version: Number })
  t.match(line, /"value":12345678901234567890}$/)
  await collection.del('there')
  t.match(await next(), { type: 'del', key: 'there' })
  const exit = once(child, 'exit')
  child.kill()
  t.strictSame(await exit, [null, 'SIGTERM'])
}

t.test('misspelled commands, flags and arguments are rejected', async t => {
  for (const [args, err] of [
    [['sevre'], /unknown command "sevre"; did you mean serve\?/],
    [['help', 'launch'], /unknown command "launch"; see strong-store --help/],
    [['serve', '--sokcet', 'x'], /unknown flag --sokcet; did you mean --socket\?/],
    [['get', 'c'], /get takes COLLECTION KEY, got 1/],
    [['serve', 'x'], /serve takes no arguments/],
    [['serve', '--mode', '888'], /invalid --mode/],
    [['serve', '--max-value-bytes', 'x'], /expected a number, got "x"/],
    [['serve', '--max-value-bytes', '0'], /--max-value-bytes must be a whole number/],
    [['serve', '--group', 'no-such-group'], /unknown group "no-such-group"/],
    [['serve', '--user', 'no-such-user'], /unknown user "no-such-user"/],
    [['serve', '--log', 'xml'], /expected text or json/],
    [
      ['get', 'c', 'k', '--url', 'memory:'],
      /invalid --url: expected .*, got "memory:"; that is a store inside a process/
    ],
    [['check', '--url', '/run/app.sock'], /got "\/run\/app\.sock"; did you mean unix:\/run\/app\.sock\?\n/],
    [['serve', '--socket'], /socket/],
    [['serve', '--flush', '1'], /--flush requires --data DIR/]
  ] as Array<[string[], RegExp]>) { t.match(await command(args), { code: EXIT.USAGE, out: '', err }, args.join(' ')) }
  t.match(await command([]), { code: EXIT.USAGE, out: /Usage: strong-store COMMAND/ })
  t.match(await command(['--help']), { code: 0, out: /serve .*\n {2}get / })
  for (const args of [['serve', '--help'], ['help', 'serve'], ['serve', 'help']]) {
    t.match(await command(args), { code: 0, out: /--socket PATH .* STRONG_STORE_SOCKET/ }, args.join(' '))
  }
  t.match(await cli(['--version']), { code: 0, out: /^\d+\.\d+\.\d+\n$/ })
})

t.test('flags are read from the command line, then the environment, then the file named by --config', async t => {
  const file = join(directory(t), 'config.json')
  const settings = (
    content: unknown, argv: string[] = [], env: NodeJS.ProcessEnv = {}
  ): ReturnType<typeof settingsOf> => {
    writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content))
    return settingsOf(['--config', file, ...argv], { switch: { help: '' }, ...serveCommand.flags }, env)
  }
  const content = { socket: '/file', mode: '0660', 'max-value-bytes': 5, switch: true }
  t.equal(settings(content).get('socket'), '/file')
  t.equal(settings(content).number('max-value-bytes'), 5)
  t.equal(settings(content).isOn('switch'), true)
  t.equal(settings(content, [], { STRONG_STORE_SWITCH: '0' }).isOn('switch'), false)
  t.equal(settings(content, [], { STRONG_STORE_SOCKET: '/env' }).get('socket'), '/env')
  t.equal(settings(content, [], { STRONG_STORE_SOCKET: '' }).get('socket'), '/file')
  t.equal(settings(content, ['--socket', '/argv'], { STRONG_STORE_SOCKET: '/env' }).get('socket'), '/argv')
  settings({ mode: '0640' })
  t.equal(settingsOf([], serveCommand.flags, { STRONG_STORE_CONFIG: file }).get('mode'), '0640')
  t.throws(() => settings(content, [], { STRONG_STORE_SWITCH: 'yes' }), {
    code: EXIT.USAGE, message: /invalid STRONG_STORE_SWITCH: expected true or false/
  })
  for (const [wrong, message] of [
    ['{', /invalid .*config\.json: /], [[], /expected a JSON object/],
    [{ sokcet: '/x' }, /unknown flag "sokcet"; expected one of .*socket/],
    [{ socket: true }, /socket must be a string or a number/], [{ switch: 'on' }, /switch must be true or false/],
    [{ config: 'x' }, /unknown flag "config"/], [{ __proto__: null, toString: 'x' }, /unknown flag "toString"/]
  ] as Array<[unknown, RegExp]>) { t.throws(() => settings(wrong), { code: EXIT.USAGE, message }, String(message)) }
  t.throws(() => settingsOf(['--config', `${file}x`], serveCommand.flags, {}), { code: 'ENOENT' })
  t.match(helpOf('serve', serveCommand), 'STRONG_STORE_TOKEN_FILE')
})

t.test('negative numbers are values, not flags', t => {
  const { args, number } = settingsOf(
    ['c', '-5', '--max-value-bytes', '-1', '-.5', '--', '-6', '--x'], serveCommand.flags, {}
  )
  t.strictSame(args, ['c', '-5', '-.5', '-6', '--x'])
  t.equal(number('max-value-bytes'), -1)
  t.end()
})

t.test('misspelled names get a suggestion', t => {
  const names = ['get', 'set', 'keys', 'serve', 'stats', 'unix:', '--socket']
  for (const [word, name] of [
    ['gte', 'get'], ['sets', 'set'], ['key', 'keys'], ['servr', 'serve'], ['state', 'stats'], ['unxi:', 'unix:'],
    ['--soket', '--socket']
  ]) {
    t.equal(suggestion(word!, names), `; did you mean ${name}?`)
  }
  for (const word of ['launch', 'x', '', '-x', 'statistics']) t.equal(suggestion(word, names), '', word)
  t.end()
})

t.test('a terminal gets tables, with control characters escaped', async t => {
  let printed = ''
  const print = async (isTTY: boolean, use: (output: Output) => Promise<void>): Promise<string> => {
    printed = ''
    const stream = { isTTY, on: () => {}, write: (text: string) => { printed += text; return true } }
    await use(new Output(stream as unknown as NodeJS.WriteStream, false))
    return printed
  }
  const rows: Row[] = [
    { key: 'a\u001b[2J\n\u202e', version: 12, end: undefined }, { key: 'b', version: 3, end: new Date(0) }
  ]
  await print(true, output => output.rows(rows))
  t.notOk(['\u001b', '\u202e'].some(character => printed.includes(character)))
  t.match(printed, /^KEY +VERSION +END\na\\u001b\[2J\\u000a\\u202e +12 +-\n/)
  t.match(printed, /\nb +3 +1970-01-01T00:00:00\.000Z\n$/)
  t.equal(await print(true, output => output.value({ a: '\u009b' })), '{\n  "a": "\\u009b"\n}\n')
  t.equal(await print(false, output => output.rows(rows)), rows.map(row => JSON.stringify(row) + '\n').join(''))
  t.equal(await print(false, output => output.event('set', { key: 'a' })), '{"type":"set","key":"a"}\n')
  const nested = { a: [{}, [], [1, [2]], { b: 'c: [",\\"', d: null }], e: -1.5e300 }
  t.equal(await print(true, output => output.value(nested)), JSON.stringify(nested, null, 2) + '\n')
  t.equal(
    await print(true, output => output.json(' [1.0,\n12345678901234567890]')),
    '[\n  1.0,\n  12345678901234567890\n]\n'
  )
  t.equal(
    await print(true, output => output.event('set', { key: 'a\n' }, '{"b":\n"\u009b"}')),
    'set  a\\u000a  {"b": "\\u009b"}\n'
  )
  t.equal(await print(true, output => output.text('{"a":"\u009b"}\n')), '{"a":"\\u009b"}\n')
})

t.test('progress is one line, shown only on a terminal', async t => {
  let printed = ''
  const progress = (isTTY: boolean, isQuiet = false): Progress => {
    printed = ''
    const stream = { isTTY, write: (text: string) => { printed += text } }
    return new Progress(stream as unknown as NodeJS.WriteStream, isQuiet)
  }
  const source = async function * (): AsyncGenerator<string | Buffer> {
    yield '1\n2'
    yield Buffer.from('\n'.repeat(1998))
  }
  const shown = progress(true)
  for await (const chunk of shown.of(source())) t.ok(chunk)
  shown.end()
  t.equal(printed.slice(printed.lastIndexOf('\r')), '\r1,999 lines, 0.0 MiB\u001b[K\n')
  t.equal(printed.split('\n').length, 2)
  for (const hidden of [progress(false), progress(true, true)]) {
    hidden.add('1\n')
    hidden.end()
    t.equal(printed, '')
  }
})

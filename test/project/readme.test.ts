// The README cannot drift: its programs run, its curl lines are answered as it says, and its tables are those of the code.
import { execFile, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import ts from 'typescript'
import { PROBLEMS } from '../../routes/problems.js'
import { ERRORS } from '../../src/index.js'
import { start } from '../support/programs.js'
import { until } from '../support/until.js'

const ROOT = fileURLToPath(new URL('../../..', import.meta.url))
const README = readFileSync(join(ROOT, 'README.md'), 'utf8')
const PROGRAMS = join(ROOT, 'dist/readme') // inside of the package, where its own name leads to it

interface Block { language: string, text: string }

const blocks: Block[] = Array.from(README.matchAll(/^```(\w+)\n(.*?)^```$/gms), ([, language, text]) => ({ language: language!, text: text! }))
const compiled = ts.convertCompilerOptionsFromJson(
  (ts.readConfigFile(join(ROOT, 'tsconfig.json'), path => readFileSync(path, 'utf8')).config as { compilerOptions: object }).compilerOptions, ROOT
).options
const OPTIONS: ts.CompilerOptions = { ...compiled, noUnusedLocals: false, declaration: false, sourceMap: false, rootDir: PROGRAMS, outDir: PROGRAMS }

t.test('its programs run, and print what it says', async t => {
  mkdirSync(PROGRAMS, { recursive: true })
  const file = (number: number, ending: string): string => join(PROGRAMS, `${number}.${ending}`)
  for (const [i, { language, text }] of blocks.entries()) {
    if (language === 'ts' || language === 'js') writeFileSync(file(i, `m${language}`), text)
  }
  const typed = ts.createProgram(blocks.flatMap(({ language }, i) => language === 'ts' ? file(i, 'mts') : []), OPTIONS)
  t.strictSame(ts.getPreEmitDiagnostics(typed).map(({ messageText, file }) => [file?.fileName, messageText]), [], 'and it compiles')
  typed.emit()
  for (const [i, { language, text }] of blocks.entries()) {
    const next = blocks[i + 1]
    if (language === 'js' && next?.language === 'console') await serves(t, i, text, next.text)
    else if (language === 'ts' || language === 'js') await prints(t, file(i, 'mjs'), text)
  }
})

/** A program that ends, and says in comments what it prints. */
async function prints (t: Test, file: string, text: string): Promise<void> {
  const { stdout } = await promisify(execFile)('env', ['-u', 'NODE_OPTIONS', process.execPath, file])
  const expected = Array.from(text.matchAll(/\/\/ prints: (.*)/g), match => match[1])
  t.strictSame(stdout.split('\n').slice(0, -1), expected, text.slice(0, 200))
}

/** A server, on a socket instead of its port, and what curl prints when it is asked. */
async function serves (t: Test, number: number, text: string, session: string): Promise<void> {
  await t.test(`the server of block ${number}`, async t => {
    if (spawnSync('curl', ['--version']).status !== 0) {
      t.comment('curl is not installed: its lines are left out')
      return
    }
    const folder = mkdtempSync(join(tmpdir(), 'readme-'))
    t.teardown(() => { rmSync(folder, { recursive: true }) })
    const path = join(folder, 'http')
    writeFileSync(join(PROGRAMS, `${number}.mjs`), text.replace('{ port: 3000 }', `{ path: '${path}' }`).replace('listen(3000)', `listen('${path}')`))
    start(t, `readme/${number}.mjs`)
    await until(() => new Promise<boolean>(resolve => {
      const socket = connect(path, () => { socket.destroy(); resolve(true) }).on('error', () => { resolve(false) })
    }), 40)
    for (const [, command, answer] of session.matchAll(/^\$ curl (.*)\n(.*)$/gm)) {
      const { stdout } = await promisify(execFile)('sh', ['-c', `curl -s --unix-socket ${path} ${command}`])
      t.equal(stdout.trimEnd(), answer, command!)
    }
  })
}

/** The cells of the rows of the table whose head begins with these cells, without their marks of code. */
function table (...head: string[]): string[][] {
  const lines = README.slice(README.indexOf(`| ${head.join(' | ')} |`)).split('\n')
  return lines.slice(2, lines.findIndex(line => !line.startsWith('|')))
    .map(line => line.split(/(?<!\\)\|/).slice(1, -1).map(cell => cell.trim().replaceAll('`', '')))
}

t.test('the tables of errors are those of the code', async t => {
  for (const [head, codes] of [['Code', ERRORS], ['Admin code', PROBLEMS]] as const) {
    t.strictSame(table(head, 'Status', 'Meaning'),
      Object.entries(codes).map(([code, { status, meaning }]) => [code, String(status), meaning.replaceAll('`', '')]))
  }
})

t.test('the table of options is that of the code, with its defaults', async t => {
  const documented = new Map<string, string>() // of each option, its definition with its comment
  for (const path of ['src', 'routes'].flatMap(folder => ts.sys.readDirectory(join(ROOT, folder), ['.ts']))) {
    const file = ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.ESNext)
    ts.forEachChild(file, node => {
      if (!ts.isInterfaceDeclaration(node) || !node.name.text.endsWith('Options') || INTERNAL.has(node.name.text)) return
      for (const member of node.members) {
        documented.set(`${node.name.text} ${member.name!.getText(file)}`, member.getFullText(file))
      }
    })
  }
  const rows = table('Where', 'Option', 'Unit', 'Default', 'Bound')
  t.strictSame(rows.map(([where, option]) => `${where} ${option}`).sort(), [...documented.keys()].sort())
  for (const [where, option, unit, usual, bound] of rows) {
    const value = /^(\d[\d.]*|true|false|none)/.exec(usual!)?.[0]
    const definition = documented.get(`${where} ${option}`)
    if (value !== undefined) t.match(definition, new RegExp(`default:? ${value}`, 'i'), `${where} ${option}`)
    if (unit !== '') t.match(definition, new RegExp(unit!, 'i'), `${where} ${option} in ${unit}`)
    for (const [number] of bound!.matchAll(/\d[\d.]*/g)) t.match(definition, new RegExp(`(?<![\\d.])${number.replace('.', '\\.')}(?![\\d.]*\\d)`), `${where} ${option}: ${bound}`)
  }
})

/** Of engines, not of users. */
const INTERNAL = new Set(['ClusterOptions', 'KeyspaceOptions'])

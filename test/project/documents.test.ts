// The README and the guides cannot drift: their programs run, their curl lines are answered as they say, their links
// lead somewhere, and their tables are those of the code.
import { execFile, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { ts } from '../../scripts/typescript.js'
import { parse } from 'yaml'
import { PROBLEMS } from '../../routes/problems.js'
import { draw } from '../../scripts/figure.js'
import { ERRORS } from '../../src/index.js'
import { start } from '../support/programs.js'
import { until } from '../support/until.js'

const ROOT = fileURLToPath(new URL('../../..', import.meta.url))
const MAX_README_WORDS = 2000
const PROGRAMS = join(ROOT, 'dist/documents') // inside of the package, where its own name leads to it

const names = [
  'README.md', 'CONTRIBUTING.md',
  ...readdirSync(join(ROOT, 'docs')).filter(name => name.endsWith('.md')).map(name => `docs/${name}`)
]
const documents = new Map(names.map(name => [name, readFileSync(join(ROOT, name), 'utf8')]))
const README = documents.get('README.md')!
const REFERENCE = documents.get('docs/reference.md')!

interface Block { document: string, language: string, text: string }

const blocks: Block[] = [...documents].flatMap(([document, content]) => {
  const found = content.matchAll(/^```(\w+)\n(.*?)^```$/gms)
  return Array.from(found, ([, language, text]) => ({ document, language: language!, text: text! }))
})
const tsconfig = ts.readConfigFile(join(ROOT, 'tsconfig.json'), path => readFileSync(path, 'utf8'))
const { compilerOptions } = tsconfig.config as { compilerOptions: object }
const compiled = ts.convertCompilerOptionsFromJson(compilerOptions, ROOT).options
const OPTIONS: ts.CompilerOptions = {
  ...compiled, noUnusedLocals: false, declaration: false, sourceMap: false, rootDir: PROGRAMS, outDir: PROGRAMS
}

t.test('programs run, and print what the documents say', async t => {
  mkdirSync(PROGRAMS, { recursive: true })
  const file = (number: number, ending: string): string => join(PROGRAMS, `${number}.${ending}`)
  for (const [i, { language, text }] of blocks.entries()) {
    if (language === 'ts' || language === 'js') writeFileSync(file(i, `m${language}`), text)
  }
  const typed = ts.createProgram(blocks.flatMap(({ language }, i) => language === 'ts' ? file(i, 'mts') : []), OPTIONS)
  t.strictSame(
    ts.getPreEmitDiagnostics(typed).map(({ messageText, file }) => [file?.fileName, messageText]), [],
    'and they compile'
  )
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
    writeFileSync(
      join(PROGRAMS, `${number}.mjs`),
      text.replace('{ port: 3000 }', `{ path: '${path}' }`).replace('listen(3000)', `listen('${path}')`)
    )
    start(t, `documents/${number}.mjs`)
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
function table (document: string, ...head: string[]): string[][] {
  const lines = document.slice(document.indexOf(`| ${head.join(' | ')} |`)).split('\n')
  return lines.slice(2, lines.findIndex(line => !line.startsWith('|')))
    .map(line => line.split(/(?<!\\)\|/).slice(1, -1).map(cell => cell.trim().replaceAll('`', '')))
}

t.test('links lead to a file, and to a heading of it', async t => {
  const anchors = (text: string): string[] => Array.from(text.matchAll(/^#+ (.*)$/gm), ([, heading]) =>
    heading!.toLowerCase().replaceAll(/[^\p{L}\p{N} _-]/gu, '').replaceAll(' ', '-'))
  for (const [name, text] of documents) {
    for (const [, target] of text.matchAll(/(?:\]\(|src=")([^)"\s]+)[)"]/g)) {
      if (/^https?:/.test(target!)) continue
      const [path, anchor] = target!.split('#') as [string, string?]
      const file = path === '' ? name : join(dirname(name), path)
      t.ok(existsSync(join(ROOT, file)), `${name}: ${target}`)
      if (anchor !== undefined) t.ok(anchors(documents.get(file) ?? '').includes(anchor), `${name}: ${target}`)
    }
  }
})

t.test(`the README has at most ${MAX_README_WORDS} words, and the figure of the last bench`, async t => {
  t.ok(README.split(/\s+/).length <= MAX_README_WORDS)
  const { svg, readme } = draw()
  t.equal(README, readme, 'npm run figure')
  t.equal(readFileSync(join(ROOT, 'docs/gets.svg'), 'utf8'), svg, 'npm run figure')
})

t.test('the tables of errors are those of the code', async t => {
  for (const [head, codes] of [['Code', ERRORS], ['Admin code', PROBLEMS]] as const) {
    t.strictSame(table(REFERENCE, head, 'Status', 'Meaning'),
      Object.entries(codes).map(([code, { status, meaning }]) => [code, String(status), meaning.replaceAll('`', '')]))
  }
})

t.test('the table of requests is that of openapi.yaml', async t => {
  const { paths } = parse(readFileSync(join(ROOT, 'openapi.yaml'), 'utf8')) as { paths: Record<string, object> }
  const described = Object.entries(paths).filter(([path]) => path !== '/page/{file}').map(([path, methods]) => {
    const names = ['get', 'put', 'post', 'patch', 'delete'].filter(name => name in methods)
    return [path.replace('{collection}', '{c}').replace('{key}', '{k}'), names.join(' ').toUpperCase()]
  })
  const rows = table(documents.get('docs/http.md')!, 'Path', 'Methods')
  t.strictSame(rows.map(([path, methods]) => [path, methods]).sort(), described.sort())
})

t.test('the table of options is that of the code, with its defaults', async t => {
  const documented = new Map<string, string>() // of each option, its definition with its comment
  for (const path of ['src', 'routes'].flatMap(folder => ts.sys.readDirectory(join(ROOT, folder), ['.ts']))) {
    const file = ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.ESNext)
    ts.forEachChild(file, node => {
      if (!ts.isInterfaceDeclaration(node) || !node.name.text.endsWith('Options') || INTERNAL.has(node.name.text)) {
        return
      }
      for (const member of node.members) {
        if (member.name !== undefined) {
          documented.set(`${node.name.text} ${member.name.getText(file)}`, member.getFullText(file))
        }
      }
    })
  }
  const rows = table(REFERENCE, 'Where', 'Option', 'Unit', 'Default', 'Bound')
  t.strictSame(rows.map(([where, option]) => `${where} ${option}`).sort(), [...documented.keys()].sort())
  for (const [where, option, unit, usual, bound] of rows) {
    const name = `${where} ${option}`
    const definition = documented.get(name)
    const value = /^(\d[\d.]*|true|false|none)/.exec(usual!)?.[0]
    if (value !== undefined) t.match(definition, new RegExp(`default:? ${value}`, 'i'), name)
    if (unit !== '') t.match(definition, new RegExp(unit!, 'i'), `${name} in ${unit}`)
    for (const [number] of bound!.matchAll(/\d[\d.]*/g)) {
      t.match(definition, new RegExp(`(?<![\\d.])${number.replace('.', '\\.')}(?![\\d.]*\\d)`), `${name}: ${bound}`)
    }
  }
})

/** Of engines, not of users. */
const INTERNAL = new Set(['ClusterOptions', 'EngineOptions', 'KeyspaceOptions', 'UnixOptions'])

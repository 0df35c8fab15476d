// Compiles the admin page into one script, and writes the files of the page as a module of strings next to
// routes/page.js: code that reads no files at run time also works in bundles.
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ts } from './typescript.js'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const PAGE = join(ROOT, 'page')
const NAME = 'routes/page-files'
const TYPES = readFileSync(join(ROOT, `${NAME}.d.ts`), 'utf8')

/** Writes the module in both formats, unless it is newer than its sources. Throws if the page does not compile. */
export function buildPage (dist: string, write: (file: string, text: string) => void): string[] {
  const formats = [['', 'export const FILES'], ['cjs', 'exports.FILES']].map(([folder, definition]) => {
    return { script: join(dist, folder!, `${NAME}.js`), types: join(dist, folder!, `${NAME}.d.ts`), definition }
  })
  const outputs = formats.flatMap(({ script, types }) => [script, types])
  const sources = [fileURLToPath(import.meta.url), ...readdirSync(PAGE).map(name => join(PAGE, name))]
  const changed = Math.max(...sources.map(file => statSync(file).mtimeMs))
  if (outputs.every(file => existsSync(file) && statSync(file).mtimeMs > changed)) return outputs
  const files = JSON.stringify(pageFiles(), undefined, 2)
  for (const { script, types, definition } of formats) {
    write(script, `${definition} = ${files}\n`)
    write(types, TYPES)
  }
  return outputs
}

/** The files of the page by name. */
function pageFiles (): Record<string, string> {
  const style = readFileSync(join(PAGE, 'style.css'), 'utf8')
  return {
    'index.html': readFileSync(join(PAGE, 'index.html'), 'utf8'),
    'style.css': style.replace(/^ +/gm, '').replace(/([:;,{}])\s+/g, '$1').replace(/;}/g, '}').replace(/ {/g, '{'),
    'main.js': inOne(compile())
  }
}

/** The compiled scripts by path. Each follows those that it imports. */
function compile (): Map<string, string> {
  const host: ts.ParseConfigFileHost = {
    ...ts.sys,
    onUnRecoverableConfigFileDiagnostic: diagnostic => { throw new Error(explain([diagnostic])) }
  }
  const { fileNames, options } = ts.getParsedCommandLineOfConfigFile(join(PAGE, 'tsconfig.json'), undefined, host)!
  const program = ts.createProgram(fileNames, options)
  const problems = ts.getPreEmitDiagnostics(program)
  if (problems.length > 0) throw new Error(explain(problems))
  const scripts = new Map<string, string>()
  program.emit(undefined, (file, text) => { scripts.set(file, text) })
  const sorted = new Map<string, string>()
  const visit = (file: string): void => {
    const text = scripts.get(file)!
    for (const { fileName } of ts.preProcessFile(text).importedFiles) {
      const imported = join(file, '..', fileName)
      if (!sorted.has(imported)) visit(imported)
    }
    sorted.set(file, text)
  }
  visit(Array.from(scripts.keys()).find(file => file.endsWith('/main.js'))!)
  return sorted
}

/** Bundles the scripts into one minified module. No two of them may declare the same top-level name. */
function inOne (scripts: Map<string, string>): string {
  const files = Array.from(scripts, ([name, text]) => ts.createSourceFile(name, text, ts.ScriptTarget.ES2022, true))
  const owners = new Map<string, string>()
  for (const { fileName, statements } of files) {
    for (const declared of statements.flatMap(namesOf)) {
      const owner = owners.get(declared)
      if (owner !== undefined) throw new Error(`${declared} is declared in ${owner} and in ${fileName}: rename one`)
      owners.set(declared, fileName)
    }
  }
  const names = shortNames(files, owners.keys())
  return files.map(file => {
    const shortener = new Shortener(file, names)
    for (const statement of file.statements) {
      if (!ts.isImportDeclaration(statement) && !ts.isExportDeclaration(statement)) shortener.add(statement)
    }
    return `${shortener.text}\n`
  }).join('')
}

/** Short names for the top-level names that have no other meaning in any file. */
function shortNames (files: ts.SourceFile[], topLevel: Iterable<string>): Map<string, string> {
  const others = new Set<string>()
  const visit = (node: ts.Node): void => {
    const { name, propertyName } = node as { name?: ts.Node, propertyName?: ts.Node }
    const { parent } = ts.isVariableDeclaration(node) ? node.parent.parent : node
    const isTopLevel = ts.isSourceFile(parent)
    if (name !== undefined && !isTopLevel && !ts.isImportSpecifier(node)) others.add(name.getText())
    if (propertyName !== undefined) others.add(propertyName.getText())
    node.forEachChild(visit)
  }
  for (const file of files) file.statements.forEach(visit)
  const names = Array.from(topLevel).filter(name => !others.has(name))
  return new Map(names.map((name, i) => [name, `$${i.toString(36)}`]))
}

function namesOf (statement: ts.Statement): string[] {
  if (ts.isVariableStatement(statement)) {
    return statement.declarationList.declarations.map(({ name }) => (name as ts.Identifier).text)
  }
  if (ts.isImportDeclaration(statement)) {
    const bindings = statement.importClause?.namedBindings
    const isPlain = bindings !== undefined && ts.isNamedImports(bindings) &&
      bindings.elements.every(({ propertyName }) => propertyName === undefined)
    if (!isPlain) throw new Error(`the page supports named imports only: ${statement.getText()}`)
    return []
  }
  const { name } = statement as ts.Statement & { name?: ts.Identifier }
  return name === undefined ? [] : [name.text]
}

class Shortener {
  text = ''
  /** Short names of private members, which are invisible outside of their class. */
  readonly #names = new Map<string, string>()
  readonly #file: ts.SourceFile
  readonly #topLevel: Map<string, string>
  #end = 0

  constructor (file: ts.SourceFile, topLevel: Map<string, string>) {
    this.#file = file
    this.#topLevel = topLevel
  }

  /** Appends a node, without spaces; keeps line breaks that may end a statement. */
  add (node: ts.Node): void {
    if (node.kind === ts.SyntaxKind.ExportKeyword) {
      this.#end = node.end
      return
    }
    const children = node.getChildren(this.#file)
    for (const child of children) this.add(child)
    if (children.length > 0) return
    const { text } = this.#file
    let token = node.getText(this.#file)
    if (token === '') return
    if (ts.isPrivateIdentifier(node)) token = this.#short(token)
    else if (ts.isIdentifier(node)) token = this.#topLevel.get(token) ?? token
    const last = this.text.at(-1) ?? ''
    const isBroken = text.slice(this.#end, node.getStart(this.#file)).includes('\n')
    if (isBroken && !'{([,;'.includes(last)) this.text += '\n'
    else if ((/[\w$]/.test(last) && /[\w$\\]/.test(token[0]!)) || ('+-/'.includes(last) && last === token[0])) {
      this.text += ' '
    }
    this.text += token
    this.#end = node.end
  }

  #short (name: string): string {
    if (!this.#names.has(name)) this.#names.set(name, `#_${this.#names.size.toString(36)}`)
    return this.#names.get(name)!
  }
}

function explain (problems: readonly ts.Diagnostic[]): string {
  return ts.formatDiagnostics(problems, {
    getCanonicalFileName: name => name, getCurrentDirectory: () => ROOT, getNewLine: () => '\n'
  })
}

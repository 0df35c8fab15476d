// Adds the CommonJS build to dist/cjs, for loaders that cannot require() an ES module (Jest, bundlers that emit CommonJS),
// and makes the declarations of both builds compile where optional packages are not installed.
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const DIST = join(ROOT, 'dist')
const CJS = join(DIST, 'cjs')

const { peerDependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { peerDependencies: object }
/** A line of a declaration file that names an optional package. */
const OPTIONAL = new RegExp(`^(?:import|export|declare module)\\b.*['"](?:${Object.keys(peerDependencies).join('|')})(?:/[^'"]*)?['"]`)

const sources = ['src', 'routes'].flatMap(folder => filesBelow(join(ROOT, folder))).filter(file => /\.c?ts$/.test(file))
const wanted = new Set([join(CJS, 'package.json')])
mkdirSync(CJS, { recursive: true })
writeIfChanged(join(CJS, 'package.json'), '{ "type": "commonjs" }\n')
for (const source of sources) {
  const [, name, ending] = /^(.*)\.(c?)ts$/.exec(relative(ROOT, source))!
  const types = `${name}.d.${ending}ts`
  const declaration = withoutOptional(readFileSync(join(DIST, types), 'utf8'))
  writeIfChanged(join(DIST, types), declaration)
  writeIfChanged(join(CJS, types), declaration)
  const script = join(CJS, `${name}.${ending}js`)
  wanted.add(script).add(join(CJS, types))
  if (!existsSync(script) || statSync(script).mtimeMs < statSync(source).mtimeMs) writeFile(script, commonJs(source))
}
for (const file of filesBelow(CJS)) if (!wanted.has(file)) rmSync(file)

function commonJs (source: string): string {
  return ts.transpileModule(readFileSync(source, 'utf8'), {
    fileName: source,
    compilerOptions: { module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2022, esModuleInterop: true }
  }).outputText
}

/** An import of a package that is not installed makes its types `any`, where the compiler is told to pass over it. */
function withoutOptional (declaration: string): string {
  const lines = declaration.split('\n')
  return lines.flatMap((line, i) => OPTIONAL.test(line) && lines[i - 1] !== '// @ts-ignore' ? ['// @ts-ignore', line] : [line]).join('\n')
}

function filesBelow (folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile()).map(entry => join(entry.parentPath, entry.name))
}

function writeFile (file: string, text: string): void {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, text)
}

function writeIfChanged (file: string, text: string): void {
  if (!existsSync(file) || readFileSync(file, 'utf8') !== text) writeFile(file, text)
}

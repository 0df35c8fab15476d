// Builds the admin page, adds the CommonJS build to dist/cjs for loaders that cannot require() ES modules, such as Jest
// and bundlers that emit CommonJS, and lets the declarations of both builds compile without the optional packages.
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ts } from './typescript.js'
import { buildPage } from './page.js'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const DIST = join(ROOT, 'dist')
const CJS = join(DIST, 'cjs')

const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { peerDependencies: object }
const optional = Object.keys(manifest.peerDependencies).join('|')
const IGNORE = '// @ts-ignore'
/** A line of a declaration file that names an optional package. */
const OPTIONAL = new RegExp(`^(?:import|export|declare module)\\b.*['"](?:${optional})(?:/[^'"]*)?['"]`)

const sources = ['src', 'routes']
  .flatMap(folder => filesBelow(join(ROOT, folder)))
  .filter(file => /\.c?ts$/.test(file) && !file.endsWith('.d.ts'))
const wanted = new Set([join(CJS, 'package.json'), ...buildPage(DIST, writeFile)])
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

/** Lets imports of packages that are not installed compile: their types become `any`. */
function withoutOptional (declaration: string): string {
  const lines = declaration.split('\n').filter(line => line !== IGNORE)
  return lines.flatMap(line => OPTIONAL.test(line) ? [IGNORE, line] : [line]).join('\n')
}

function filesBelow (folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name))
}

function writeFile (file: string, text: string): void {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, text)
}

function writeIfChanged (file: string, text: string): void {
  if (!existsSync(file) || readFileSync(file, 'utf8') !== text) writeFile(file, text)
}

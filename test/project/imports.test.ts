// The structure of the source: imports go one way, no module is too large, and the tour in CONTRIBUTING.md names every
// module.
import { readFileSync, readdirSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { ts } from '../../scripts/typescript.js'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
const MAX_LINES = 300
/** Generated from page/. */
const GENERATED = 'routes/page-files.ts'

/** From the top layer to the bottom: a module may import from its own layer and from those below. */
const LAYERS: RegExp[][] = [
  [/^src\/index\.ts$/, /^src\/cli\//, /^src\/adapters\//, /^src\/web\//, /^routes\//],
  [/^src\/api\//],
  [/^src\/engines\//],
  [/^src\/core\//],
  [/^page\//] // runs in browsers
]

const modules = [
  'src', 'routes', 'page'
].flatMap(folder => readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
  .filter(entry => entry.isFile() && /\.c?ts$/.test(entry.name) && !entry.name.endsWith('.d.ts'))
  .map(entry => relative(ROOT, join(entry.parentPath, entry.name))))
const texts = new Map(modules.map(module => [module, readFileSync(join(ROOT, module), 'utf8')]))

/** What a module imports from other modules. Types count: a reader has to follow them, too. */
function importsOf (module: string): string[] {
  return ts.preProcessFile(texts.get(module)!).importedFiles
    .filter(({ fileName }) => fileName.startsWith('.'))
    .map(({ fileName }) => join(dirname(module), fileName).replace(/\.(c?)js$/, '.$1ts'))
    .filter(target => target !== GENERATED)
}

function layerOf (module: string): number {
  return LAYERS.findIndex(patterns => patterns.some(pattern => pattern.test(module)))
}

t.test('every module belongs to a layer, and none imports from a layer above it', async t => {
  for (const module of modules) {
    t.not(layerOf(module), -1, module)
    for (const target of importsOf(module)) {
      t.ok(layerOf(target) >= layerOf(module), `${module} → ${target}`)
      t.equal(target.startsWith('page/'), module.startsWith('page/'), `${module} → ${target}`)
    }
  }
})

t.test('engines do not import from each other, except for the keyspace that the socket engine serves', async t => {
  const engineOf = (module: string): string | undefined => /^src\/engines\/(\w+)\//.exec(module)?.[1]
  for (const module of modules) {
    for (const target of importsOf(module)) {
      const [from, to] = [engineOf(module), engineOf(target)]
      if (from !== undefined && to !== undefined && from !== to) {
        t.equal(`${from} → ${to}`, 'socket → memory', `${module} → ${target}`)
      }
    }
  }
})

// A primary must answer its workers once it has imported the package, even if a bundler drops unused imports.
t.test('every entry point that opens stores imports the socket engine through files with side effects', async t => {
  const { exports, sideEffects } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    exports: Record<string, string | { import: { default: string } }>, sideEffects: string[]
  }
  const marks = sideEffects.map(pattern => new RegExp(`^${pattern.replace('*', '[^/]*')}$`))
  const isMarked = (file: string): boolean => marks.some(mark => mark.test(`./${file}`))
  const reached = (file: string, isFollowed: (file: string) => boolean, seen = new Set<string>()): Set<string> => {
    if (seen.has(file) || !isFollowed(file)) return seen
    seen.add(file)
    for (const { fileName } of ts.preProcessFile(readFileSync(join(ROOT, file), 'utf8')).importedFiles) {
      if (fileName.startsWith('.')) reached(join(dirname(file), fileName), isFollowed, seen)
    }
    return seen
  }
  let entries = 0
  for (const target of Object.values(exports)) {
    if (typeof target === 'string') continue
    const entry = join(target.import.default)
    if (!reached(entry, () => true).has('dist/src/engines/socket/engine.js')) continue
    entries++
    t.ok(reached(entry, isMarked).has('dist/src/engines/socket/engine.js'), entry)
  }
  t.ok(entries >= 8, `${entries} entry points`)
  const ofModules = sideEffects.filter(pattern => pattern.startsWith('./dist/src/'))
  t.strictSame(
    sideEffects.filter(pattern => !ofModules.includes(pattern)),
    ofModules.map(pattern => pattern.replace('./dist/src/', './dist/cjs/src/')), 'and for require'
  )
})

// They would cost every process that starts, whatever its store.
t.test('the package loads neither other packages nor the scripts of Redis before they are needed', async t => {
  const packages = new Set<string>()
  const loaded = new Set<string>()
  const load = (file: string): void => {
    if (loaded.has(file)) return
    loaded.add(file)
    const imports = /^(?:import|export) (?:[^'"(=;]* from )?['"]([^'"]+)['"]/gm // not import()
    for (const [, name] of readFileSync(join(ROOT, file), 'utf8').matchAll(imports)) {
      if (name!.startsWith('.')) load(join(dirname(file), name!))
      else if (!name!.startsWith('node:')) packages.add(name!)
    }
  }
  load('dist/src/index.js')
  t.strictSame([...packages], ['fastify-plugin'])
  t.ok(loaded.has('dist/src/engines/redis/engine.js'))
  t.strictSame([...loaded].filter(file => /\/redis\/(?:connect|scripts)|^dist\/routes\/index/.test(file)), [])
})

t.test('no imports are circular', async t => {
  const done = new Set<string>()
  const visit = (module: string, path: string[]): void => {
    if (path.includes(module)) {
      t.fail([...path.slice(path.indexOf(module)), module].join(' → '))
      return
    }
    if (done.has(module)) return
    for (const target of importsOf(module)) visit(target, [...path, module])
    done.add(module)
  }
  for (const module of modules) visit(module, [])
  t.equal(done.size, modules.length)
})

t.test(`no module has more than ${MAX_LINES} lines`, async t => {
  for (const [module, text] of texts) {
    t.ok(text.split('\n').length - 1 <= MAX_LINES, `${module}: ${text.split('\n').length - 1}`)
  }
})

t.test('the tour of the source names every module', async t => {
  const tour = /^## A tour of the source$(.*?)(?=^## |$(?![^]))/ms.exec(
    readFileSync(join(ROOT, 'CONTRIBUTING.md'), 'utf8')
  )?.[1] ?? ''
  const named = Array.from(tour.matchAll(/`([\w./-]+)`/g), ([, name]) => name!)
  for (const module of modules) {
    t.ok(named.some(name => name === module || (name.includes('/') && module.endsWith(`/${name}`))), module)
  }
})

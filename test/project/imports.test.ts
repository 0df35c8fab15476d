// The house: imports go one way, no room is too large, and the tour of the source names every room.
import { readFileSync, readdirSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import ts from 'typescript'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
const MAX_LINES = 300
/** From page/. */
const GENERATED = 'routes/page-files.ts'

/** From the top storey to the bottom: a room may import from its own storey and from those below. */
const STOREYS: RegExp[][] = [
  [/^src\/index\.ts$/, /^src\/cli\//, /^src\/adapters\//, /^src\/web\//, /^routes\//],
  [/^src\/api\//],
  [/^src\/engines\//],
  [/^src\/core\//],
  [/^page\//] // runs in browsers
]

const rooms = [
  'src', 'routes', 'page'
].flatMap(folder => readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
  .filter(entry => entry.isFile() && /\.c?ts$/.test(entry.name) && !entry.name.endsWith('.d.ts'))
  .map(entry => relative(ROOT, join(entry.parentPath, entry.name))))
const texts = new Map(rooms.map(room => [room, readFileSync(join(ROOT, room), 'utf8')]))

/** What a room imports from other rooms. Types count: a reader has to follow them, too. */
function importsOf (room: string): string[] {
  return ts.preProcessFile(texts.get(room)!).importedFiles
    .filter(({ fileName }) => fileName.startsWith('.'))
    .map(({ fileName }) => join(dirname(room), fileName).replace(/\.(c?)js$/, '.$1ts'))
    .filter(target => target !== GENERATED)
}

function storeyOf (room: string): number {
  return STOREYS.findIndex(patterns => patterns.some(pattern => pattern.test(room)))
}

t.test('every room belongs to a storey, and none imports from a storey above it', async t => {
  for (const room of rooms) {
    t.not(storeyOf(room), -1, room)
    for (const target of importsOf(room)) {
      t.ok(storeyOf(target) >= storeyOf(room), `${room} → ${target}`)
      t.equal(target.startsWith('page/'), room.startsWith('page/'), `${room} → ${target}`)
    }
  }
})

t.test('engines do not import from each other, except for the keyspace that the socket engine serves', async t => {
  const engineOf = (room: string): string | undefined => /^src\/engines\/(\w+)\//.exec(room)?.[1]
  for (const room of rooms) {
    for (const target of importsOf(room)) {
      const [from, to] = [engineOf(room), engineOf(target)]
      if (from !== undefined && to !== undefined && from !== to) {
        t.equal(`${from} → ${to}`, 'socket → memory', `${room} → ${target}`)
      }
    }
  }
})

t.test('no imports go in a circle', async t => {
  const done = new Set<string>()
  const visit = (room: string, path: string[]): void => {
    if (path.includes(room)) {
      t.fail([...path.slice(path.indexOf(room)), room].join(' → '))
      return
    }
    if (done.has(room)) return
    for (const target of importsOf(room)) visit(target, [...path, room])
    done.add(room)
  }
  for (const room of rooms) visit(room, [])
  t.equal(done.size, rooms.length)
})

t.test(`no room has more than ${MAX_LINES} lines`, async t => {
  for (const [room, text] of texts) {
    t.ok(text.split('\n').length - 1 <= MAX_LINES, `${room}: ${text.split('\n').length - 1}`)
  }
})

t.test('the tour of the source names every room', async t => {
  const tour = /^## A tour of the source$(.*?)(?=^## |$(?![^]))/ms.exec(
    readFileSync(join(ROOT, 'CONTRIBUTING.md'), 'utf8')
  )?.[1] ?? ''
  const named = Array.from(tour.matchAll(/`([\w./-]+)`/g), ([, name]) => name!)
  for (const room of rooms) {
    t.ok(named.some(name => name === room || (name.includes('/') && room.endsWith(`/${name}`))), room)
  }
})

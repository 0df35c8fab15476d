// Runs the packed package with the programs that docs/store-process.md names, each started by its own command: two
// runs of a program, one after the other, count on in one store.
// Usage: node .ci/guides/run.mjs [part of a name]
import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { check, mustRun, project, runChecks } from '../checks.mjs'
import { pm2 } from './pm2.mjs'
import { freePort, postWhenReady, running, withStore } from './programs.mjs'

const bin = name => `node_modules/.bin/${name}`

async function write (folder, files) {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true })
    await writeFile(join(folder, name), text)
  }
}

/** `command` gets the port to listen on. */
async function countsOn (folder, ...commands) {
  await withStore(folder, async url => {
    for (const [i, command] of commands.entries()) {
      const port = await freePort()
      const env = { STRONG_STORE_URL: url, PORT: String(port) }
      assert.deepEqual(await running(folder, env, command(port), () => postWhenReady(port, '/hits')), { hits: i + 1 })
    }
  })
}

check('PM2', pm2)

check('fastify start', async () => {
  const folder = await project('fastify-start', ['fastify@5', 'fastify-cli@8'])
  await write(folder, {
    'app.mjs': `import strongStore from 'strong-store'
      export default async (app, options) => {
        await app.register(strongStore)
        app.post('/hits', async request => ({ hits: await request.store.collection('counters').increment('hits') }))
      }`
  })
  const start = (...flags) => port => [
    bin('fastify'), 'start', '--address', '127.0.0.1', '--port', port, ...flags, 'app.mjs'
  ]
  await countsOn(folder, start(), start('--watch'))
})

check('Nest', async () => {
  const nest = ['cli', 'core', 'common', 'platform-express'].map(name => `@nestjs/${name}@11`)
  const folder = await project('nest', [...nest, 'reflect-metadata@0.2', 'rxjs@7', 'typescript@5.9', '@types/node@20'])
  const compilerOptions = {
    module: 'commonjs',
    target: 'es2022',
    outDir: 'dist',
    rootDir: 'src',
    experimentalDecorators: true,
    skipLibCheck: true
  }
  await write(folder, {
    'nest-cli.json': '{"sourceRoot": "src"}',
    'tsconfig.json': JSON.stringify({ compilerOptions, include: ['src'] }),
    'src/main.ts': `import 'reflect-metadata'
      import { Controller, HttpCode, Module, Post } from '@nestjs/common'
      import { NestFactory } from '@nestjs/core'
      import { createStore } from 'strong-store'

      const counters = createStore().collection<number>('counters')
      @Controller()
      class Hits {
        @Post('hits')
        @HttpCode(200)
        async hits () { return { hits: await counters.increment('hits') } }
      }
      @Module({ controllers: [Hits] })
      class App {}
      NestFactory.create(App).then(app => app.listen(process.env.PORT!, '127.0.0.1'))`
  })
  const program = () => [process.execPath, 'dist/main.js']
  await countsOn(folder, () => [bin('nest'), 'start'], program, program)
})

check('Next', async () => {
  const folder = await project('next', ['next@16', 'react@19', 'react-dom@19'])
  await write(folder, {
    'next.config.mjs': "export default { serverExternalPackages: ['strong-store'] }",
    'app/layout.js': 'export default ({ children }) => <html><body>{children}</body></html>',
    'app/hits/route.js': `import { createStore } from 'strong-store'
      export async function POST () {
        return Response.json({ hits: await createStore().collection('counters').increment('hits') })
      }`
  })
  await mustRun(folder, bin('next'), 'build')
  const start = port => [bin('next'), 'start', '--hostname', '127.0.0.1', '--port', port]
  await countsOn(folder, start, start)
})

await runChecks('guides')

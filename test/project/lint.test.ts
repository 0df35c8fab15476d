// The form of the code, as `npm run lint` looks at it: beside the other tests, since it takes as long as many of them.
// Files that have not changed are not looked at again, which may miss what a change elsewhere does to their types: a
// clean clone does not.
import { fileURLToPath } from 'node:url'
import { ESLint } from 'eslint'
import t from 'tap'

t.test('eslint finds nothing', async t => {
  const eslint = new ESLint({
    cwd: fileURLToPath(new URL('../../../', import.meta.url)),
    cache: true,
    cacheLocation: 'node_modules/.cache/eslint/',
    cacheStrategy: 'content'
  })
  const results = await eslint.lintFiles('.')
  t.ok(results.length > 100, `${results.length} files`)
  t.equal(await (await eslint.loadFormatter('stylish')).format(results), '')
})

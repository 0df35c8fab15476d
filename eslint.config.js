import neostandard, { plugins } from 'neostandard'

/** A text that would have to be cut into pieces. */
const LONG_TEXT = /(['"])(?:(?!\1).){60,}\1/.source

export default [
  ...neostandard({ ts: true, ignores: ['dist/', '.tap/', '.ci/loading/files/'] }),
  {
    rules: {
      '@stylistic/max-len': ['error', {
        code: 120, ignoreUrls: true, ignoreTemplateLiterals: true, ignoreRegExpLiterals: true, ignorePattern: LONG_TEXT
      }]
    }
  },
  {
    files: ['**/*.ts'],
    plugins: { '@typescript-eslint': plugins['typescript-eslint'].plugin },
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      // tap runs its subtests one after another by itself
      '@typescript-eslint/no-floating-promises': ['error', {
        allowForKnownSafeCalls: [{ from: 'package', name: ['test', 'spawn'], package: '@tapjs/test' }]
      }],
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }]
    }
  }
]

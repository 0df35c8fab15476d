// Runs several test files in one process.
// Usage: node dist/test/together.js FILE ...
import { pathToFileURL } from 'node:url'

for (const file of process.argv.slice(2)) await import(pathToFileURL(file).href)

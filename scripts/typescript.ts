// The TypeScript compiler. A plain import takes four times as long: Node.js first parses all of it to find out that it
// is CommonJS, and again to find the names that it exports.
import ts = require('typescript')

export { ts }

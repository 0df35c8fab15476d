import t from 'tap'
import { createStore } from '../../src/index.js'
import { overload } from './overload.js'
import { short } from './short.js'

t.after(async () => { await createStore().close() })
short('more than the primary can take is refused, and forgotten', overload, 1)

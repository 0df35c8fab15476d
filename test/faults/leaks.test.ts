import t from 'tap'
import { createStore } from '../../src/index.js'
import { leaks } from './leaks.js'
import { short } from './short.js'

t.after(async () => { await createStore().close() })
short('nothing grows by being done again', leaks, 2000)

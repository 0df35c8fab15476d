import t from 'tap'
import { createStore } from '../../src/index.js'
import { leaks } from './leaks.js'
import { short } from './short.js'

t.after(async () => { await createStore().close() })
short('repeated operations do not leak', leaks, 2000)

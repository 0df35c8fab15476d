import t from 'tap'
import { createStore } from '../../src/index.js'
import { overload } from './overload.js'
import { short } from './short.js'

t.after(async () => { await createStore().close() })
short('calls beyond the capacity of the primary are rejected without lasting effects', overload, 1)

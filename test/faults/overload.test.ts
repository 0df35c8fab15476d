import t from 'tap'
import { createStore } from '../../src/index.js'
import { overload, overloadOverUnix } from './overload.js'
import { short } from './short.js'

t.after(async () => { await createStore().close() })
short('calls beyond the capacity of the primary are rejected without lasting effects', overload, 1)
short('so are those beyond the capacity of a store in a process of its own', overloadOverUnix, 1)

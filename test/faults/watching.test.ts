import t from 'tap'
import { createStore } from '../../src/index.js'
import { short } from './short.js'
import { watching } from './watching.js'

t.after(async () => { await createStore().close() })
short('watches leave nothing, and 100,000 watched keys cost no memory for those who do not read', watching, 1000)

import t from 'tap'
import { createStore } from '../../src/index.js'
import { killing } from './killing.js'
import { short } from './short.js'

t.after(async () => { await createStore().close() })
short('of workers that are killed nothing stays', killing, 8)

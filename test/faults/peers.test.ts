import t from 'tap'
import { createStore } from '../../src/index.js'
import { peers, peersOverUnix } from './peers.js'
import { short } from './short.js'

t.after(async () => { await createStore().close() })
short('connections that keep no rule disturb nobody', peers, 88)
short('nor over unix:', peersOverUnix, 44)

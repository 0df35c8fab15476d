import t from 'tap'
import { createStore } from '../../src/index.js'
import { peers, peersOverUnix } from './peers.js'
import { short } from './short.js'

t.after(async () => { await createStore().close() })
short('connections that violate the protocol do not affect others', peers, 88)
short('connections that violate the protocol over unix: do not affect others', peersOverUnix, 44)

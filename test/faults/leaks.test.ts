import t from 'tap'
import { createStore } from '../../src/index.js'
import { NO_REDIS, hasRedis } from '../support/redis.js'
import { leaks, leaksOfRedis } from './leaks.js'
import { short } from './short.js'

t.after(async () => { await createStore().close() })
short('repeated operations do not leak', leaks, 2000)
if (hasRedis) short('repeated operations do not leak, and leave no state in Redis', leaksOfRedis, 500)
else t.comment(`leaks in Redis: ${NO_REDIS}`)

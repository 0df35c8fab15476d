import t from 'tap'
import { createStore } from '../../src/index.js'
import { NO_REDIS, hasRedis } from '../support/redis.js'
import { killing, killingOfHttp, killingOfRedis, killingOverUnix } from './killing.js'
import { short } from './short.js'

t.after(async () => { await createStore().close() })
short('killed workers leave no state', killing, 8)
short('killed workers leave no state in a separate store process', killingOverUnix, 4)
short('killed clients of the admin API leave no state', killingOfHttp, 2)
if (hasRedis) short('killed workers leave no state in Redis, among other data', killingOfRedis, 2)
else t.comment(`killing in Redis: ${NO_REDIS}`)

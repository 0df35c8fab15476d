import t from 'tap'
import { createStore } from '../../src/index.js'
import { NO_REDIS, hasRedis } from '../support/redis.js'
import { overload, overloadOfHttp, overloadOfRedis, overloadOverUnix } from './overload.js'
import { short } from './short.js'

t.after(async () => { await createStore().close() })
short('calls beyond the capacity of the primary are rejected without lasting effects', overload, 1)
short('calls beyond the capacity of a separate store process are rejected, too', overloadOverUnix, 1)
short('calls beyond the capacity of a client of the admin API are rejected, too', overloadOfHttp, 1)
if (hasRedis) short('calls beyond the capacity of a process that uses Redis are rejected, too', overloadOfRedis, 1)
else t.comment(`overload in Redis: ${NO_REDIS}`)

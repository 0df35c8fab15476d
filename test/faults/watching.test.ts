import t from 'tap'
import { createStore } from '../../src/index.js'
import { NO_REDIS, hasRedis } from '../support/redis.js'
import { short } from './short.js'
import { watching, watchingOfHttp, watchingOfRedis } from './watching.js'

t.after(async () => { await createStore().close() })
short('watches leave nothing, and a watch of 100,000 keys that is not read costs no memory', watching, 1000)
short('watches over the admin API leave nothing when their connections are lost', watchingOfHttp, 100)
if (hasRedis) short('watches leave nothing in Redis', watchingOfRedis, 500)
else t.comment(`watches of Redis: ${NO_REDIS}`)

import t from 'tap'
import { createStore } from '../../src/index.js'
import { NO_REDIS, hasRedis } from '../support/redis.js'
import { short } from './short.js'
import { watching, watchingOfHttp, watchingOfRedis } from './watching.js'

t.after(async () => { await createStore().close() })
short('watches leave no state, and the backlog of an unread watch of 100,000 keys is bounded', watching, 1000)
short('watches over the admin API leave no state when their connections are lost', watchingOfHttp, 100)
if (hasRedis) short('watches leave no state in Redis', watchingOfRedis, 500)
else t.comment(`watches of Redis: ${NO_REDIS}`)

import t from 'tap'
import { createStore } from '../../src/index.js'
import { NO_REDIS, hasRedis } from '../support/redis.js'
import { short } from './short.js'
import { watching, watchingOfRedis } from './watching.js'

t.after(async () => { await createStore().close() })
short('watches leave nothing, and 100,000 watched keys cost no memory for those who do not read', watching, 1000)
if (hasRedis) short('watches leave nothing in Redis', watchingOfRedis, 500)
else t.comment(`watches of Redis: ${NO_REDIS}`)

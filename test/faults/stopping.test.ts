import t from 'tap'
import { NO_REDIS, hasRedis } from '../support/redis.js'
import { short } from './short.js'
import { stopping, stoppingOfRedis } from './stopping.js'

short('a cluster stopped under load leaves no pending call and no file', stopping, 2)
if (hasRedis) short('a cluster stopped under load leaves no lock in Redis', stoppingOfRedis, 1)
else t.comment(`stopping with Redis: ${NO_REDIS}`)

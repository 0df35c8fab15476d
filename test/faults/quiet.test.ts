import t from 'tap'
import { NO_REDIS, hasRedis } from '../support/redis.js'
import { quiet, quietOfRedis } from './quiet.js'
import { short } from './short.js'

short('a quiet store serves waiters and expires keys in time', quiet, 6)
if (hasRedis) short('a quiet store in Redis serves waiters and expires keys in time', quietOfRedis, 1)
else t.comment(`a quiet store in Redis: ${NO_REDIS}`)

import t from 'tap'
import { NO_REDIS, hasRedis } from '../support/redis.js'
import { quiet, quietOfRedis } from './quiet.js'
import { short } from './short.js'

short('a quiet store serves whoever waits and ends what is due', quiet, 6)
if (hasRedis) short('and so does one in Redis', quietOfRedis, 1)
else t.comment(`a quiet store in Redis: ${NO_REDIS}`)

import t from 'tap'
import { NO_ROOT, hasRoot, otherUsers } from './other-users.js'
import { short } from './short.js'

if (!hasRoot) t.plan(0, NO_ROOT)
else short('another user of the machine cannot enter, replace or remove anything', otherUsers, 4)

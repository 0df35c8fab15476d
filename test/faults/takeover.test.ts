import { short } from './short.js'
import { takeover } from './takeover.js'

short('exactly one process serves a path, even if contenders are killed', takeover, 10)

import { short } from './short.js'
import { takeover } from './takeover.js'

short('of processes that want one path exactly one serves it, whichever of them are killed', takeover, 10)

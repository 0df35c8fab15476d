import { quiet } from './quiet.js'
import { short } from './short.js'

short('a quiet store serves whoever waits and ends what is due', quiet, 6)

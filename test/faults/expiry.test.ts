import { expiry } from './expiry.js'
import { short } from './short.js'

short('very many keys expire in bounded slices', expiry, 1)

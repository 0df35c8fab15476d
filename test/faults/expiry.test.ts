import { expiry } from './expiry.js'
import { short } from './short.js'

short('very many keys go at their time, a slice at a time', expiry, 1)

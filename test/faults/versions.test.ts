import { short } from './short.js'
import { versions } from './versions.js'

short('workers of two protocol versions come and go in one cluster', versions, 12)

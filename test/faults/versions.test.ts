import { short } from './short.js'
import { versions } from './versions.js'

short('workers of two protocol versions can start and stop in one cluster', versions, 12)

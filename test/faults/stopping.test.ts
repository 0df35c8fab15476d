import { short } from './short.js'
import { stopping } from './stopping.js'

short('a cluster that is stopped under load leaves no call and no file', stopping, 2)

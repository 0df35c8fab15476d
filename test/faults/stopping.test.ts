import { short } from './short.js'
import { stopping } from './stopping.js'

short('a cluster stopped under load leaves no pending call and no file', stopping, 2)

import { keyspace } from './keyspace.js'
import { short } from './short.js'

short('the keyspace behaves like its model', keyspace, 300)

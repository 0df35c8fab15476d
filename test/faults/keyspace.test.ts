import { keyspace } from './keyspace.js'
import { short } from './short.js'

short('the keyspace does what its model does', keyspace, 300)

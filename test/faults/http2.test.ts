import { http2 } from './http2.js'
import { short } from './short.js'

short('requests over HTTP/2 may be cancelled at any step', http2, 3000)

import { http2 } from './http2.js'
import { short } from './short.js'

short('requests over HTTP/2 can be canceled at any step', http2, 3000)

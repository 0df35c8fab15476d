import { http } from './http.js'
import { short } from './short.js'

short('the admin API answers whatever it is asked as its document says', http, 1000)

import { http } from './http.js'
import { short } from './short.js'

short('the admin API always answers as openapi.yaml describes', http, 1000)

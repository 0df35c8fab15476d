import Fastify from 'fastify'
import strongStore from 'strong-store'
await Fastify().register(strongStore).then(() => { console.log('registered') }, error => {
  console.log(error.message)
})

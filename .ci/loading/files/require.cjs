const { collection } = require('strong-store')
for (const name of ['express', 'keyv', 'nest', 'rate-limit', 'rate-limiter-flexible', 'session', 'undici', 'unstorage']) {
  require(`strong-store/${name}`)
}
collection('c').set('key', 1, () => {
  collection('c').get('key', (err, value) => { console.log('required', err ?? value) })
})

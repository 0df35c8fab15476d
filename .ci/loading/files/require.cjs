const { collection } = require('strong-store')
const { exports: entries } = require('strong-store/package.json')
// They extend classes of their libraries, which are not installed here.
const EXTENDING = ['./graphql-subscriptions', './socket.io']
for (const name of Object.keys(entries)) if (!EXTENDING.includes(name)) require(`strong-store${name.slice(1)}`)
collection('c').set('key', 1, () => {
  collection('c').get('key', (err, value) => { console.log('required', err ?? value) })
})

const { collection } = require('strong-store')
const { exports: entries } = require('strong-store/package.json')
for (const name of Object.keys(entries)) require(`strong-store${name.slice(1)}`)
collection('c').set('key', 1, () => {
  collection('c').get('key', (err, value) => { console.log('required', err ?? value) })
})

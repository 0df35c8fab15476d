// The file of docs/store-process.md, with four workers on the port and the socket of the run.
const STRONG_STORE_URL = `unix:${process.env.STORE_SOCKET}`

module.exports = {
  apps: [{
    name: 'store',
    script: 'node_modules/.bin/strong-store',
    args: `serve --socket ${process.env.STORE_SOCKET}`,
    interpreter: process.execPath,
    exec_mode: 'fork',
    wait_ready: true
  }, {
    name: 'app',
    script: 'app.mjs',
    exec_mode: 'cluster',
    instances: 4,
    wait_ready: true,
    env: { STRONG_STORE_URL, PORT: process.env.APP_PORT }
  }]
}

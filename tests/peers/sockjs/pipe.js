// Pipes each SockJS session at /stomp to the STOMP server whose TCP port is given: node pipe.js STOMP_PORT
'use strict'
const http = require('http')
const net = require('net')
const sockjs = require('sockjs')

const endpoint = sockjs.createServer({ prefix: '/stomp', log: () => {} })
endpoint.on('connection', (session) => {
  const broker = net.connect(Number(process.argv[2]), '127.0.0.1')
  // Text only, and never half a character: SockJS carries strings.
  broker.setEncoding('utf8')
  broker.on('data', (chunk) => session.write(chunk))
  broker.on('close', () => session.close())
  broker.on('error', () => session.close())
  session.on('data', (chunk) => broker.write(chunk))
  session.on('close', () => broker.destroy())
})

const server = http.createServer()
endpoint.installHandlers(server)
server.listen(0, '127.0.0.1', () => console.log(`listening on ${server.address().port}`))

// Pipes each SockJS session at /stomp to a STOMP server's TCP port: node pipe.js PORT STOMP_PORT TRANSPORTS [CERT KEY]
// TRANSPORTS: `all`, or the only one that works, as its URLs end: websocket, xhr_streaming or xhr. With CERT and KEY it is
// https. SIGUSR2 closes every session with code 3456. Each request that receives is a line of the log.
'use strict'
const fs = require('fs')
const http = require('http')
const https = require('https')
const net = require('net')
const sockjs = require('sockjs')

const [port, stompPort, transports, cert, key] = process.argv.slice(2)
const offers = (transport) => transports === 'all' || transports === transport

const sessions = new Set()
const endpoint = sockjs.createServer({ prefix: '/stomp', websocket: offers('websocket'), log: () => {} })
endpoint.on('connection', (session) => {
  const broker = net.connect(Number(stompPort), '127.0.0.1')
  sessions.add(session)
  // Text only, and never half a character: SockJS carries strings.
  broker.setEncoding('utf8')
  broker.on('data', (chunk) => session.write(chunk))
  broker.on('close', () => session.close())
  broker.on('error', () => session.close())
  session.on('data', (chunk) => broker.write(chunk))
  session.on('close', () => {
    sessions.delete(session)
    broker.destroy()
  })
})
process.on('SIGUSR2', () => sessions.forEach((session) => session.close(3456, 'this server moves')))

const server = cert ? https.createServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key) }) : http.createServer()
endpoint.installHandlers(server)
const handlers = server.listeners('request')
server.removeAllListeners('request')
server.on('request', (request, response) => {
  const transport = request.url.split('/').pop()
  if (transport === 'xhr' || transport === 'xhr_streaming') {
    console.log(`receiving by ${transport}`)
    if (!offers(transport)) {
      response.writeHead(404).end()
      return
    }
  }
  handlers.forEach((handler) => handler.call(server, request, response))
})
server.listen(Number(port), '127.0.0.1', () => console.log('listening'))

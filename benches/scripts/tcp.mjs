// A TCP connection that looks like a WebSocket to @stomp/stompjs, which speaks to nothing else.
import net from 'node:net'

export class Tcp {
  readyState = 0
  constructor (host, port) {
    this.url = `tcp://${host}:${port}`
    this.socket = net.connect(port, host, () => {
      this.readyState = 1
      this.onopen?.()
    })
    this.socket.setNoDelay(true)
    this.socket.on('data', data => this.onmessage?.({ data }))
    this.socket.on('close', () => {
      this.readyState = 3
      this.onclose?.({ code: 1000, reason: '', wasClean: true })
    })
    this.socket.on('error', error => this.onerror?.(error))
  }

  send (data) { this.socket.write(data) }
  close () { this.socket.end() }
}

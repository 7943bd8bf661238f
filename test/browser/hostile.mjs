// A proxy between browser and server as networks have them: it may know no
// WebSocket, hold responses back until they end, or let nothing take long.

import { once } from 'node:events'
import http from 'node:http'
import net from 'node:net'

export class Hostile {
  #server
  #target
  #sockets = new Set()
  upgrades = true // lets WebSockets through
  buffers = false // gives a response on when it is whole
  patience = 0 // milliseconds that a response may take; 0: any
  down = false // resets whatever comes
  paths = [] // of the requests, without their queries

  static async start(target) {
    const proxy = new Hostile()
    proxy.#target = new URL(target)
    proxy.#server = http.createServer((request, response) => proxy.#pass(request, response))
    proxy.#server.on('connection', (socket) => {
      proxy.#sockets.add(socket)
      socket.on('close', () => proxy.#sockets.delete(socket))
      if (proxy.down) socket.destroy()
    })
    proxy.#server.on('upgrade', (request, socket, head) => proxy.#upgrade(request, socket, head))
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  get url() { return `http://127.0.0.1:${this.#server.address().port}` }

  #request(request) {
    const { hostname, port } = this.#target
    return http.request({ hostname, port, path: request.url, method: request.method, headers: request.headers })
  }

  #pass(request, response) {
    this.paths.push(request.url.split('?')[0])
    const forward = this.#request(request)
    const timer = this.patience && setTimeout(() => {
      forward.destroy()
      response.writeHead(504).end()
    }, this.patience)
    response.on('close', () => {
      clearTimeout(timer)
      forward.destroy()
    })
    forward.on('error', () => response.destroy())
    forward.on('response', (answer) => {
      answer.on('error', () => response.destroy())
      if (!this.buffers && !this.patience) {
        response.writeHead(answer.statusCode, answer.headers)
        answer.pipe(response)
        return
      }
      const parts = []
      answer.on('data', (part) => parts.push(part))
      answer.on('end', () => { if (!response.headersSent) response.writeHead(answer.statusCode, answer.headers).end(Buffer.concat(parts)) })
    })
    request.pipe(forward)
  }

  #upgrade(request, socket, head) {
    this.paths.push(request.url.split('?')[0])
    if (!this.upgrades) return socket.end('HTTP/1.1 501 Not Implemented\r\nConnection: close\r\nContent-Length: 0\r\n\r\n')
    const server = net.connect(Number(this.#target.port), this.#target.hostname, () => {
      const lines = [`${request.method} ${request.url} HTTP/1.1`]
      for (let i = 0; i < request.rawHeaders.length; i += 2) lines.push(`${request.rawHeaders[i]}: ${request.rawHeaders[i + 1]}`)
      server.write(`${lines.join('\r\n')}\r\n\r\n`)
      server.write(head)
      server.pipe(socket).pipe(server)
    })
    for (const end of [server, socket]) {
      end.on('error', () => {})
      end.on('close', () => { server.destroy(); socket.destroy() })
    }
  }

  // cut ends every connection. New ones are let through unless down is set.
  cut() { for (const socket of this.#sockets) socket.destroy() }

  async close() {
    this.#server.close()
    this.cut()
    await once(this.#server, 'close')
  }
}

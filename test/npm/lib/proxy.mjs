// A network between client and server that can be cut, or swallow everything.
import net from 'node:net'
import { once } from 'node:events'

export class Proxy {
  #server
  #pairs = new Set()
  #dark = false // bytes go nowhere, connections stay
  #refusing = false
  target // host:port

  static async start(target) {
    const proxy = new Proxy()
    proxy.target = target
    proxy.#server = net.createServer((client) => proxy.#connect(client))
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  get url() { return `ws://127.0.0.1:${this.#server.address().port}/connection/websocket` }

  #connect(client) {
    if (this.#refusing) return client.destroy()
    const [host, port] = this.target.split(':')
    const server = net.connect(Number(port), host)
    const pair = { client, server }
    this.#pairs.add(pair)
    const end = () => {
      this.#pairs.delete(pair)
      client.destroy()
      server.destroy()
    }
    for (const [from, to] of [[client, server], [server, client]]) {
      from.on('data', (chunk) => this.#dark || to.write(chunk))
      from.on('error', end)
      from.on('close', end)
    }
  }

  // cut ends every connection, and refuses new ones until mend.
  cut() {
    this.#refusing = true
    for (const { client, server } of this.#pairs) {
      client.destroy()
      server.destroy()
    }
  }

  // darken lets connections stand and no byte through, until mend.
  darken() { this.#dark = true }

  // mend lets new connections through. Those that were in the dark have lost bytes
  // and end.
  mend() {
    if (this.#dark) this.cut()
    this.#dark = false
    this.#refusing = false
  }

  async close() {
    this.cut()
    this.#server.close()
    await once(this.#server, 'close')
  }
}

// What stands before several servers: each request goes to the next of them.
import http from 'node:http'
import { once } from 'node:events'

export class Balancer {
  #server
  #turn = 0
  #open = new Set()
  targets // host:port each; who is taken out gets no new requests
  requests = [] // { path, target, open } in the order in which they came

  static async start(targets) {
    const balancer = new Balancer()
    balancer.targets = [...targets]
    balancer.#server = http.createServer((request, response) => balancer.#pass(request, response))
    balancer.#server.listen(0, '127.0.0.1')
    await once(balancer.#server, 'listening')
    return balancer
  }

  get addr() { return `127.0.0.1:${this.#server.address().port}` }

  #pass(request, response) {
    const target = this.targets[this.#turn++ % this.targets.length]
    const entry = { path: request.url.split('?')[0], target, open: true }
    this.requests.push(entry)
    const [host, port] = target.split(':')
    const onward = http.request({ host, port, method: request.method, path: request.url, headers: { ...request.headers, connection: 'close' }, agent: false })
    this.#open.add(onward)
    const end = () => {
      entry.open = false
      this.#open.delete(onward)
      onward.destroy()
    }
    onward.on('response', (answer) => {
      entry.status = answer.statusCode
      response.writeHead(answer.statusCode, answer.headers)
      response.flushHeaders()
      answer.pipe(response)
      answer.on('error', () => response.destroy())
      answer.on('aborted', () => response.destroy())
    })
    onward.on('error', () => response.destroy())
    response.on('close', end)
    request.pipe(onward)
  }

  // last is the latest request of a session whose path ends so.
  last(session, end) {
    return this.requests.findLast((r) => r.path.includes(`/${session}/`) && r.path.endsWith(end))
  }

  // of are the requests of a session whose path ends so.
  of(session, end) {
    return this.requests.filter((r) => r.path.includes(`/${session}/`) && r.path.endsWith(end))
  }

  async close() {
    for (const onward of this.#open) onward.destroy()
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }
}

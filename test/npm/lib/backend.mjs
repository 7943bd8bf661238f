// A backend behind the hooks, as a user writes one: it checks the signature, and
// answers what its test has put down for the path.
import { createHmac, timingSafeEqual } from 'node:crypto'
import http from 'node:http'
import { once } from 'node:events'

export const secret = 'hooks-secret'

// verify is what docs/hooks.md shows for Node.
export function verify(headers, body, key = secret) {
  const time = headers['x-fanfare-timestamp']
  if (!(Math.abs(Date.now() / 1000 - Number(time)) <= 300)) return false
  const want = 'v1=' + createHmac('sha256', key).update(`${time}.${headers['x-fanfare-hook']}.`).update(body).digest('hex')
  const [a, b] = [headers['x-fanfare-signature'] ?? '', want].map((text) => Buffer.from(text))
  return a.length === b.length && timingSafeEqual(a, b)
}

export class Backend {
  calls = [] // { hook, headers, body }
  answers = {} // by hook: (body, headers) => reply
  forged = 0

  static async start() {
    const backend = new Backend()
    backend.server = http.createServer(async (request, response) => {
      const text = Buffer.concat(await request.toArray()).toString()
      const hook = request.url.slice(1)
      if (!verify(request.headers, text)) backend.forged++
      const body = JSON.parse(text)
      backend.calls.push({ hook, headers: request.headers, body })
      const reply = await backend.answers[hook]?.(body, request.headers)
      response.writeHead(reply === undefined ? 404 : 200, { 'Content-Type': 'application/json' })
      response.end(JSON.stringify(reply))
    })
    backend.server.listen(0, '127.0.0.1')
    await once(backend.server, 'listening')
    return backend
  }

  // settings are the hooks of a server that asks this backend.
  get settings() {
    const url = `http://127.0.0.1:${this.server.address().port}`
    const hooks = { secret, trusted_hosts: ['127.0.0.1'], headers: ['Cookie'], client_headers: ['Authorization'] }
    for (const name of ['connect', 'refresh', 'subscribe', 'publish', 'sub_refresh', 'rpc']) hooks[`${name}_url`] = `${url}/${name}`
    return hooks
  }

  of(hook) { return this.calls.filter((c) => c.hook === hook) }

  stop() {
    this.server.closeAllConnections()
    this.server.close()
  }
}

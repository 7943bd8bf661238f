// Webhooks, checked by the published backend library `pusher`.
import assert from 'node:assert/strict'
import http from 'node:http'
import { once } from 'node:events'
import test, { after, before } from 'node:test'
import Backend from 'pusher'
import * as cf from './lib/client.mjs'
import { config } from './lib/config.mjs'
import { app, connected, subscribed, unique } from './lib/pusher.mjs'
import { Server } from './lib/server.mjs'

const open = { allow_subscribe_for_client: true, allow_subscribe_for_anonymous: true }
const library = new Backend({ appId: app.id, key: app.key, secret: app.secret, host: 'unused' })

// Receiver is a backend that is told.
class Receiver {
  events = []
  status = 200
  calls = 0

  static async start() {
    const receiver = new Receiver()
    receiver.server = http.createServer(async (request, response) => {
      const chunks = await request.toArray()
      const hook = library.webhook({ headers: request.headers, rawBody: Buffer.concat(chunks).toString() })
      assert.ok(hook.isValid(), 'the library does not take the webhook')
      receiver.calls++
      if (receiver.status === 200) receiver.events.push(...hook.getEvents())
      response.writeHead(receiver.status).end()
    })
    receiver.server.listen(0, '127.0.0.1')
    await once(receiver.server, 'listening')
    return receiver
  }

  get url() { return `http://127.0.0.1:${this.server.address().port}/hook` }
  of(channel) { return this.events.filter((e) => e.channel === channel) }
  stop() {
    this.server.closeAllConnections()
    this.server.close()
  }
}

let server, receiver
before(async () => {
  receiver = await Receiver.start()
  server = await Server.start({
    ...config, app, pusher: { client_events: true }, channel: { without_namespace: open },
    webhook: { urls: [receiver.url], trusted_hosts: ['127.0.0.1'], debounce: '3s' }
  })
})
after(async () => {
  await server.remove()
  receiver.stop()
})

test('a backend is told what happens on a channel, in order', async (t) => {
  const name = unique('presence-')
  const ann = await connected(t, server, { who: { user_id: 'ann' } })
  const bob = await connected(t, server, { who: { user_id: 'bob' } })
  const socket = ann.connection.socket_id
  const channel = await subscribed(ann, name)
  await cf.until('ann is told of', () => receiver.of(name).some((e) => e.name === 'member_added'))
  await subscribed(bob, name)
  await cf.until('bob is told of', () => receiver.of(name).length >= 3)
  channel.trigger('client-x', { n: 1 })
  await cf.until('the client event is told', () => receiver.of(name).some((e) => e.name === 'client_event'))
  bob.disconnect()
  await cf.until('bob has left', () => receiver.of(name).some((e) => e.name === 'member_removed'))
  ann.disconnect()
  await cf.until('it is vacated', () => receiver.of(name).some((e) => e.name === 'channel_vacated'))
  assert.deepEqual(receiver.of(name), [
    { name: 'channel_occupied', channel: name },
    { name: 'member_added', channel: name, user_id: 'ann' },
    { name: 'member_added', channel: name, user_id: 'bob' },
    { name: 'client_event', channel: name, user_id: 'ann', event: 'client-x', data: '{"n":1}', socket_id: socket },
    { name: 'member_removed', channel: name, user_id: 'bob' },
    { name: 'member_removed', channel: name, user_id: 'ann' },
    { name: 'channel_vacated', channel: name }
  ])
})

test('who is back at once is not told of', async (t) => {
  const name = unique('room-')
  for (let i = 0; i < 5; i++) {
    const p = await connected(t, server)
    await subscribed(p, name)
    p.disconnect()
  }
  await cf.until('it is vacated', () => receiver.of(name).some((e) => e.name === 'channel_vacated'))
  const names = receiver.of(name).map((e) => e.name)
  assert.equal(names.filter((n) => n === 'channel_occupied').length, 1, names.join())
})

test('what could not be told is told after a restart', async (t) => {
  const name = unique('cache-')
  receiver.status = 503
  const before = receiver.calls
  const p = await connected(t, server)
  await subscribed(p, name)
  await cf.until('a call has failed', () => receiver.calls > before)
  p.disconnect()
  await server.kill()
  receiver.status = 200
  await server.up()
  await cf.until('it is told', () => receiver.of(name).some((e) => e.name === 'cache_miss'))
  assert.ok(receiver.of(name).some((e) => e.name === 'channel_occupied'))
})

// Laravel Echo as published, with the settings that Laravel's documentation gives
// for a Pusher-compatible server; the auth endpoint does what Laravel's does.
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { once } from 'node:events'
import test, { after, before, describe } from 'node:test'
import Echo from 'laravel-echo'
import Pusher from 'pusher-js'
import { until } from './lib/client.mjs'
import { config } from './lib/config.mjs'
import { app, sign, transports, unique } from './lib/pusher.mjs'
import { Server } from './lib/server.mjs'

const open = {
  allow_subscribe_for_client: true, allow_subscribe_for_anonymous: true,
  allow_publish_for_client: true, allow_publish_for_anonymous: true
}

let server
let laravel
before(async () => {
  server = await Server.start({ ...config, app, pusher: { client_events: true }, channel: { without_namespace: open } })
  laravel = await authEndpoint()
})
after(async () => {
  laravel.close()
  await server.remove()
})

// authEndpoint is /broadcasting/auth: it signs for the user that a bearer token
// names, and not for channels with "secret" in their names.
async function authEndpoint() {
  const http = createServer(async (request, response) => {
    let body = ''
    for await (const part of request) body += part
    const { socket_id: socket, channel_name: channel } = Object.fromEntries(new URLSearchParams(body))
    const user = request.headers.authorization?.replace('Bearer ', '')
    if (!user || channel.includes('secret')) return response.writeHead(403).end('{}')
    const data = channel.startsWith('presence-') ? JSON.stringify({ user_id: user, user_info: { name: user.toUpperCase() } }) : undefined
    const auth = `${app.key}:${sign([socket, channel, ...(data ? [data] : [])].join(':'))}`
    response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify({ auth, channel_data: data }))
  }).listen(0, '127.0.0.1')
  await once(http, 'listening')
  return http
}

function echo(t, user, transport = 'ws') {
  const [host, port] = server.addr.split(':')
  const e = new Echo({
    broadcaster: 'pusher', Pusher, key: app.key, cluster: 'mt1',
    wsHost: host, wsPort: Number(port), wssPort: Number(port), httpHost: host, httpPort: Number(port),
    forceTLS: false, disableStats: true, enabledTransports: [transport],
    authEndpoint: `http://127.0.0.1:${laravel.address().port}/broadcasting/auth`,
    // Of its own for each Echo: they share the object that bearerToken is written to.
    auth: { headers: { Authorization: `Bearer ${user}` } }
  })
  t.after(() => e.disconnect())
  return e
}

const ready = (channel) => new Promise((resolve, reject) => channel.subscribed(resolve).error(reject))

// event is what Laravel's Pusher broadcaster sends for an event class.
const event = (channel, name, data) => server.api('publish', { channel, event: `App\\Events\\${name}`, data })

for (const [via, transport] of Object.entries(transports)) {
  describe(via, () => {
    test('a public channel brings events by their class names', async (t) => {
      const e = echo(t, 'ann', transport)
      const name = unique('orders-')
      const seen = []
      const channel = e.channel(name)
      channel.listen('OrderShipped', (data) => seen.push(data)).listen('.plain.name', (data) => seen.push(data))
      await ready(channel)
      await event(name, 'OrderShipped', { order: 7 })
      await server.api('publish', { channel: name, event: 'plain.name', data: { order: 8 } })
      await until('both events', () => seen.length === 2)
      assert.deepEqual(seen, [{ order: 7 }, { order: 8 }])
      e.leave(name)
    })

    test('a private channel wants the endpoint to agree; whispers reach the others', async (t) => {
      const [ann, bob] = [echo(t, 'ann', transport), echo(t, 'bob', transport)]
      const name = unique('chat-')
      const heard = []
      const hers = ann.private(name)
      const his = bob.private(name).listenForWhisper('typing', (data) => heard.push(data))
      await Promise.all([ready(hers), ready(his)])
      hers.whisper('typing', { by: 'ann' })
      await until('the whisper', () => heard.length === 1)
      assert.deepEqual(heard, [{ by: 'ann' }])
      await assert.rejects(ready(ann.private(unique('secret-'))), (why) => why.status === 403)
    })

    test('a presence channel knows who is here, joins and leaves', async (t) => {
      const [ann, bob] = [echo(t, 'ann', transport), echo(t, 'bob', transport)]
      const name = unique('room-')
      const told = []
      const hers = ann.join(name)
      hers.here((all) => told.push(['here', ...all.map((m) => m.name)]))
        .joining((m) => told.push(['joining', m.name]))
        .leaving((m) => told.push(['leaving', m.name]))
      await ready(hers)
      await until('who is here', () => told.length === 1)
      const his = bob.join(name)
      await ready(his)
      await until('bob', () => told.length === 2)
      bob.leave(name)
      await until('bob to leave', () => told.length === 3)
      assert.deepEqual(told, [['here', 'ANN'], ['joining', 'BOB'], ['leaving', 'BOB']])
    })
  })
}

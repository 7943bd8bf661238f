// The published backend library `pusher` against Pusher's HTTP API.
import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import Backend from 'pusher'
import { WebSocket } from 'ws'
import * as cf from './lib/client.mjs'
import { config } from './lib/config.mjs'
import { app, connected, masterKey, next, subscribed, unique } from './lib/pusher.mjs'
import { Server } from './lib/server.mjs'

const open = { allow_subscribe_for_client: true, allow_subscribe_for_anonymous: true }

let server, backend
before(async () => {
  server = await Server.start({ ...config, app, channel: { without_namespace: open } })
  backend = library()
})
after(() => server.remove())

function library(options = {}) {
  const [host, port] = server.addr.split(':')
  return new Backend({
    appId: app.id, key: app.key, secret: app.secret, host, port, useTLS: false,
    encryptionMasterKeyBase64: masterKey.toString('base64'), ...options
  })
}

const refused = (status) => (e) => e.status === status || assert.fail(`${e.status} ${e.body}, not ${status}`)

test('events reach subscribers, but not the socket that is left out', async (t) => {
  const name = unique('room-')
  const [one, two] = [await connected(t, server), await connected(t, server)]
  const [a, b] = [await subscribed(one, name), await subscribed(two, name)]
  await backend.trigger(name, 'e', { n: 1 })
  await backend.trigger([name, unique('room-')], 'e', { n: 2 }, { socket_id: one.connection.socket_id })
  await backend.trigger(name, 'e', 'text')
  await cf.until('three events', () => b.events.length === 3 && a.events.length === 2)
  assert.deepEqual(b.events.map((e) => e.data), [{ n: 1 }, { n: 2 }, 'text'])
  assert.deepEqual(a.events.map((e) => e.data), [{ n: 1 }, 'text'])
})

test('batches keep their order', async (t) => {
  const name = unique('room-')
  const channel = await subscribed(await connected(t, server), name)
  await backend.triggerBatch(Array.from({ length: 10 }, (_, n) => ({ channel: name, name: 'e', data: { n } })))
  await cf.until('ten events', () => channel.events.length === 10)
  assert.deepEqual(channel.events.map((e) => e.data.n), [...Array(10).keys()])
})

test('what the library signs, the server takes', async (t) => {
  const names = [unique('private-'), unique('presence-'), unique('private-encrypted-')]
  const handlers = {
    channelAuthorization: {
      customHandler: ({ socketId, channelName }, callback) =>
        callback(null, backend.authorizeChannel(socketId, channelName, channelName.startsWith('presence-') ? { user_id: 'ann', user_info: { n: 1 } } : undefined))
    },
    userAuthentication: {
      customHandler: ({ socketId }, callback) => callback(null, backend.authenticateUser(socketId, { id: 'ann', watchlist: ['bob'] }))
    }
  }
  const p = await connected(t, server, handlers)
  for (const name of names.slice(0, 2)) await subscribed(p, name)
  p.signin()
  await p.user.signinDonePromise
  assert.equal(p.user.user_data.id, 'ann')
})

test('an encrypted channel carries what the server cannot read', async (t) => {
  const name = unique('private-encrypted-')
  const p = await connected(t, server)
  const channel = await subscribed(p, name)
  await backend.trigger(name, 'secret', { text: 'hidden' })
  await cf.until('the event', () => channel.events.length > 0)
  assert.deepEqual(channel.events[0], { event: 'secret', data: { text: 'hidden' } })
})

test('a user is sent what is for them', async (t) => {
  const p = await connected(t, server, { signin: { id: 'bob' } })
  p.signin()
  await p.user.signinDonePromise
  const told = next(p.user, 'note')
  await cf.until('the user is reached', async () => {
    await backend.sendToUser('bob', 'note', { n: 1 })
    return Promise.race([told.then(() => true), new Promise((resolve) => setTimeout(resolve, 20))])
  })
})

test('a user is thrown out', async () => {
  const socket = new WebSocket(`ws://${server.addr}/app/${app.key}?protocol=7`)
  const said = async () => JSON.parse(await new Promise((resolve) => socket.once('message', resolve)))
  const { socket_id: id } = JSON.parse((await said()).data)
  socket.send(JSON.stringify({ event: 'pusher:signin', data: backend.authenticateUser(id, { id: 'carol' }) }))
  assert.equal((await said()).event, 'pusher:signin_success')
  const closed = new Promise((resolve) => socket.once('close', (...args) => resolve(args)))
  await backend.terminateUserConnections('carol')
  assert.equal((await closed)[0], 4009)
})

test('channels are listed, counted and asked for their members', async (t) => {
  const presence = unique('presence-')
  const room = unique('room-')
  const ann = await connected(t, server, { who: { user_id: 'ann' } })
  const bob = await connected(t, server, { who: { user_id: 'bob' } })
  for (const p of [ann, bob]) await subscribed(p, presence)
  await subscribed(ann, room)
  const get = async (path, params) => (await backend.get({ path, params })).json()

  const { channels } = await get('/channels', {})
  assert.ok(channels[presence] && channels[room], JSON.stringify(channels))
  assert.deepEqual((await get('/channels', { filter_by_prefix: 'presence-', info: 'user_count' })).channels[presence], { user_count: 2 })
  await assert.rejects(get('/channels', { info: 'user_count' }), refused(400))
  assert.deepEqual(await get(`/channels/${presence}`, { info: 'user_count,subscription_count' }), { occupied: true, user_count: 2, subscription_count: 2 })
  assert.deepEqual(await get(`/channels/${unique('room-')}`, {}), { occupied: false })
  assert.deepEqual(await get(`/channels/${presence}/users`, {}), { users: [{ id: 'ann' }, { id: 'bob' }] })
  await assert.rejects(get(`/channels/${room}/users`, {}), refused(400))
})

test('a cache channel tells what it keeps', async () => {
  const name = unique('cache-')
  await backend.trigger(name, 'e', { v: 1 })
  const reply = await (await backend.get({ path: `/channels/${name}`, params: { info: 'cache' } })).json()
  assert.equal(reply.cache.data, '{"v":1}')
  assert.ok(reply.cache.ttl > 1700 && reply.cache.ttl <= 1800)
})

test('what is wrong is refused with its code', async () => {
  await assert.rejects(library({ secret: 'other' }).trigger('room', 'e', {}), refused(401))
  await assert.rejects(library({ key: 'other' }).trigger('room', 'e', {}), refused(401))
  await assert.rejects(library({ appId: 'other' }).trigger('room', 'e', {}), refused(404))
  await assert.rejects(backend.trigger('room', 'e', 'x'.repeat(10_241)), refused(413))
  await backend.trigger('room', 'e', 'x'.repeat(10_240))
  await assert.rejects(backend.triggerBatch(Array.from({ length: 11 }, () => ({ channel: 'room', name: 'e', data: '' }))), refused(400))
  const now = Date.now
  Date.now = () => now() - 601_000
  try {
    await assert.rejects(backend.trigger('room', 'e', {}), refused(401))
  } finally {
    Date.now = now
  }
})

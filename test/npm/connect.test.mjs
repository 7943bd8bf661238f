import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import { WebSocket } from 'ws'
import { client, connected, next, subscribed, unique, until } from './lib/client.mjs'
import { config, often } from './lib/config.mjs'
import { Server } from './lib/server.mjs'

let server
before(async () => { server = await Server.start(config) })
after(() => server.remove())

test('connects and is given an id of its own', async (t) => {
  const first = client(t, server.url, { name: 'suite', version: '1', data: { any: 'thing' } })
  const told = next(first, 'connected')
  first.connect()
  const { client: id, transport } = await told
  assert.match(id, /^[0-9a-f-]{36}$/)
  assert.equal(transport, 'websocket')
  const second = client(t, server.url)
  const other = next(second, 'connected')
  second.connect()
  assert.notEqual((await other).client, id)
})

test('stays connected through pings', async (t) => {
  const own = await Server.start(often(config, 3))
  t.after(() => own.remove())
  const c = await connected(t, own.url)
  let lost = 0
  c.on('connecting', () => lost++)
  const pings = () => own.metric('fanfare_commands_total{code="0",method="ping"}')
  const before = await pings()
  await until('three pings were answered', async () => (await pings()) >= before + 3)
  assert.equal(lost, 0)
})

test('a client that answers no ping is told so', async (t) => {
  const own = await Server.start(often(config))
  t.after(() => own.remove())
  const mute = new WebSocket(own.url)
  await new Promise((resolve) => mute.once('open', resolve))
  mute.send('{"id":1,"connect":{}}')
  const [code, reason] = await new Promise((resolve) => mute.once('close', (...args) => resolve(args)))
  assert.equal(code, 3012)
  assert.equal(String(reason), 'no pong')
})

test('commands in one frame are answered', async (t) => {
  const c = client(t, server.url)
  const channels = Array.from({ length: 20 }, () => unique('history'))
  const subs = channels.map((ch) => c.newSubscription(ch))
  c.startBatching()
  c.connect()
  subs.forEach((s) => s.subscribe())
  c.stopBatching()
  await Promise.all(subs.map((s) => s.ready(5000)))
  c.startBatching()
  const all = Promise.all(channels.map((ch, i) => c.publish(ch, { i })))
  c.stopBatching()
  await all
  for (const [i, ch] of channels.entries()) {
    const { publications } = await c.history(ch, { limit: 10 })
    assert.deepEqual(publications.map((p) => p.data), [{ i }])
  }
})

test('send is taken, rpc is not available', async (t) => {
  const c = await connected(t, server.url)
  await c.send({ hello: true })
  await assert.rejects(c.rpc('method', {}), { code: 108 })
})

test('subscribing twice is told apart by the server', async (t) => {
  const c = await connected(t, server.url)
  const ch = unique('plain')
  const sub = await subscribed(c, ch)
  sub.unsubscribe()
  assert.equal(sub.state, 'unsubscribed')
  sub.subscribe()
  await sub.ready(5000)
})

test('a closing server sends clients elsewhere, and they come back', async (t) => {
  const own = await Server.start(config)
  t.after(() => own.remove())
  const raw = new WebSocket(own.url)
  await new Promise((resolve) => raw.once('open', resolve))
  raw.send('{"id":1,"connect":{}}')
  await new Promise((resolve) => raw.once('message', resolve))
  const closed = new Promise((resolve) => raw.once('close', (code, reason) => resolve([code, String(reason)])))
  const c = await connected(t, own.url)
  const connecting = next(c, 'connecting')
  assert.equal(await own.stop(), 0)
  assert.deepEqual(await closed, [3001, 'shutdown'])
  const { code, reason } = await connecting
  assert.deepEqual([code, reason], [3001, 'shutdown'])
  assert.equal(c.state, 'connecting')
})

import assert from 'node:assert/strict'
import test, { after, before, describe } from 'node:test'
import { Centrifuge } from 'centrifuge'
import { Centrifuge as ProtobufCentrifuge } from 'centrifuge/build/protobuf'
import { EventSource } from 'eventsource'
import { next, received, subscribed, subscription, TIMEOUT, unique, until } from './lib/client.mjs'
import { config, often } from './lib/config.mjs'
import { Proxy } from './lib/proxy.mjs'
import { Server } from './lib/server.mjs'
import { token as sign } from './lib/token.mjs'

const upTo = (n) => Array.from({ length: n }, (_, i) => i + 1)

// What the published client can speak over plain HTTP.
const ways = [
  { name: 'http_stream, JSON', transport: 'http_stream', Client: Centrifuge },
  { name: 'http_stream, Protobuf', transport: 'http_stream', Client: ProtobufCentrifuge, binary: true },
  { name: 'sse, JSON', transport: 'sse', Client: Centrifuge }
]

for (const way of ways) {
  describe(way.name, () => {
    let server
    before(async () => { server = await Server.start(config) })
    after(() => server.remove())

    // A message as the encoding hands it over.
    const wrap = (v) => way.binary ? new TextEncoder().encode(JSON.stringify(v)) : v
    const unwrap = (v) => way.binary ? JSON.parse(new TextDecoder().decode(v)) : v

    function client(t, addr = server.addr, options = {}) {
      const c = new way.Client([{ transport: way.transport, endpoint: `http://${addr}/connection/${way.transport}` }], {
        emulationEndpoint: `http://${addr}/emulation`, eventsource: EventSource,
        minReconnectDelay: 20, maxReconnectDelay: 200, timeout: 20_000, maxServerPingDelay: 20_000, ...options
      })
      t.after(() => c.disconnect())
      return c
    }

    async function connected(t, addr, options) {
      const c = client(t, addr, options)
      c.connect()
      await c.ready(TIMEOUT)
      return c
    }

    test('publish both ways, history, presence', async (t) => {
      const c = await connected(t)
      const sub = await subscribed(c, unique('history'))
      for (const text of ['hello', 'Ünïcödé ✓ 🚀', 'x'.repeat(64 << 10)]) await sub.publish(wrap({ text }))
      await server.api('publish', { channel: sub.channel, data: { text: 'from the API' } })
      const pubs = await received(sub, 4)
      assert.deepEqual(pubs.map((p) => unwrap(p.data).text.length), [5, 'Ünïcödé ✓ 🚀'.length, 64 << 10, 12])
      assert.equal(unwrap(pubs[1].data).text, 'Ünïcödé ✓ 🚀')
      const history = await sub.history({ limit: 10 })
      assert.deepEqual(history.publications.map((p) => p.offset), [1, 2, 3, 4])
      const who = await subscribed(c, unique('who'))
      assert.equal(Object.keys((await who.presence()).clients).length, 1)
      await assert.rejects(c.publish(unique('closed'), wrap({})), { code: 103 })
    })

    test('many channels and many publications keep their order', async (t) => {
      const c = await connected(t)
      const subs = await Promise.all(upTo(10).map(() => subscribed(c, unique('history'))))
      await Promise.all(subs.map(async (sub) => {
        for (const n of upTo(50)) await server.api('publish', { channel: sub.channel, data: n })
      }))
      for (const sub of subs) assert.deepEqual((await received(sub, 50)).map((p) => unwrap(p.data)), upTo(50))
    })

    test('pings are answered for as long as it lasts', async (t) => {
      const own = await Server.start(often(config, 3))
      t.after(() => own.remove())
      const c = await connected(t, own.addr)
      const pongs = await own.metric('fanfare_commands_total{code="0",method="ping"}')
      await until('three pings', async () => await own.metric('fanfare_commands_total{code="0",method="ping"}') >= pongs + 3)
      assert.equal(c.state, 'connected')
    })

    test('cut again and again it recovers everything', async (t) => {
      const proxy = await Proxy.start(server.addr)
      t.after(() => proxy.close())
      const c = await connected(t, new URL(proxy.url).host)
      const sub = await subscribed(c, unique('history'))
      let n = 0
      const publish = async (count) => { while (count-- > 0) await server.api('publish', { channel: sub.channel, data: ++n }) }
      for (let round = 0; round < 5; round++) {
        await publish(5)
        proxy.cut()
        await next(sub, 'subscribing').catch(() => assert.notEqual(sub.state, 'subscribed'))
        await publish(5)
        proxy.mend()
        await sub.ready(TIMEOUT)
      }
      await publish(1)
      assert.deepEqual((await received(sub, n)).map((p) => p.offset), upTo(n))
      assert.deepEqual(sub.states.slice(1).map((s) => s.recovered), Array(sub.states.length - 1).fill(true))
    })

    test('the network swallows everything', async (t) => {
      const own = await Server.start(often(config))
      t.after(() => own.remove())
      const proxy = await Proxy.start(own.addr)
      t.after(() => proxy.close())
      const c = await connected(t, new URL(proxy.url).host, { maxServerPingDelay: 1000 })
      const sub = await subscribed(c, unique('history'))
      proxy.darken()
      const noticed = next(sub, 'subscribing')
      await own.api('publish', { channel: sub.channel, data: 1 })
      await noticed
      proxy.mend()
      assert.deepEqual((await received(sub, 1)).map((p) => unwrap(p.data)), [1])
    })

    test('what is lost is told', async (t) => {
      const c = await connected(t)
      const sub = subscription(c, unique('small'), { since: { epoch: 'another', offset: 1 } })
      sub.subscribe()
      await sub.ready(TIMEOUT)
      assert.deepEqual([sub.states[0].wasRecovering, sub.states[0].recovered], [true, false])
    })

    test('a backend ends the connection for good', async (t) => {
      const c = await connected(t, undefined, { token: sign({ sub: 'ann' }) })
      const ended = next(c, 'disconnected')
      await server.api('disconnect', { user: 'ann' })
      assert.equal((await ended).code, 3503)
    })

    test('an invalid token ends it for good', async (t) => {
      const c = client(t, undefined, { token: 'x.y.z' })
      const ended = next(c, 'disconnected')
      c.connect()
      assert.equal((await ended).code, 3500)
    })

    test('a stop sends it away, a new start takes it back', async (t) => {
      const own = await Server.start(config)
      t.after(() => own.remove())
      const proxy = await Proxy.start(own.addr)
      t.after(() => proxy.close())
      const c = await connected(t, new URL(proxy.url).host)
      const sub = await subscribed(c, unique('history'))
      await own.api('publish', { channel: sub.channel, data: 1 })
      await received(sub, 1)
      const away = next(c, 'connecting')
      assert.equal(await own.stop(), 0)
      assert.equal((await away).code, 3001)
      await own.up()
      proxy.target = own.addr
      await own.api('publish', { channel: sub.channel, data: 2 })
      assert.deepEqual((await received(sub, 2)).map((p) => p.offset), [1, 2])
    })
  })
}

// Bytes on their own, without an SDK between.
describe('unidirectional', () => {
  let server
  before(async () => { server = await Server.start(config) })
  after(() => server.remove())

  // lines reads a response line by line.
  async function * lines(response) {
    let text = ''
    for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
      text += chunk
      const all = text.split('\n')
      text = all.pop()
      yield * all
    }
  }

  // through the token a client that only listens has its channels.
  const token = (channel) => sign({ sub: 'ann', channels: [channel] })

  for (const [name, path, options] of [
    ['http_stream', '/connection/uni_http_stream', (token) => ({ method: 'POST', body: JSON.stringify({ token }) })],
    ['sse', '/connection/uni_sse', () => ({})]
  ]) {
    test(name, async (t) => {
      const channel = unique('history')
      const away = new AbortController()
      t.after(() => away.abort())
      const query = name === 'sse' ? '?cf_uni_connect=' + encodeURIComponent(JSON.stringify({ token: token(channel) })) : ''
      const response = await fetch(`http://${server.addr}${path}${query}`, { signal: away.signal, ...options(token(channel)) })
      assert.equal(response.status, 200)
      const got = []
      const reading = (async () => {
        for await (const line of lines(response)) if (line) got.push(JSON.parse(line.replace(/^data: /, '')))
      })().catch(() => {})
      await until('connect', () => got.some((m) => m.connect))
      await until('the subscription', async () => (await server.api('channels', { pattern: channel })).channels[channel])
      await server.api('publish', { channel, data: 'hello' })
      await until('the publication', () => got.some((m) => m.channel === channel && m.pub?.data === 'hello'))
      await server.api('disconnect', { user: 'ann' })
      await reading
      assert.equal(got.at(-1).disconnect.code, 3503)
    })
  }
})

// What the published client does, in each of its two encodings.
import assert from 'node:assert/strict'
import test, { after, before, describe } from 'node:test'
import { client, connected, encodings, next, received, subscribed, subscription, unique, until } from './lib/client.mjs'
import { config } from './lib/config.mjs'
import { Proxy } from './lib/proxy.mjs'
import { Server } from './lib/server.mjs'
import { token } from './lib/token.mjs'

const upTo = (n) => Array.from({ length: n }, (_, i) => i + 1)
const bytes = (...list) => new Uint8Array(list)

let server
before(async () => { server = await Server.start(config) })
after(() => server.remove())

for (const encoding of Object.keys(encodings)) {
  const { encode, decode } = encodings[encoding]
  const connect = (t, options) => connected(t, server.url, { encoding, ...options })

  describe(encoding, () => {
    test('publish, history, presence, joins and tags', async (t) => {
      const c = await connect(t, { token: token({ sub: 'ann', info: { name: 'Ann' } }) })
      const sub = await subscribed(c, unique('who'))
      const other = await subscribed(await connect(t), sub.channel)
      await until('the join', () => sub.joins.length === 2)
      await other.publish(encode({ said: 'grüezi' }))
      const [pub] = await received(sub, 1)
      assert.deepEqual(decode(pub.data), { said: 'grüezi' })
      assert.equal(typeof pub.info.client, 'string')
      const { clients } = await sub.presence()
      assert.deepEqual(Object.values(clients).map((p) => p.user).sort(), ['', 'ann'])
      assert.deepEqual(decode(Object.values(clients).find((p) => p.user === 'ann').connInfo), { name: 'Ann' })
      assert.deepEqual(await sub.presenceStats(), { numClients: 2, numUsers: 2 })

      const kept = await subscribed(c, unique('history'))
      for (const n of upTo(3)) await server.api('publish', { channel: kept.channel, data: n, tags: { n: String(n) } })
      assert.deepEqual((await received(kept, 3)).map((p) => [decode(p.data), p.offset, p.tags.n]), [[1, 1, '1'], [2, 2, '2'], [3, 3, '3']])
      const { publications, offset } = await kept.history({ limit: 2 })
      assert.deepEqual([publications.map((p) => decode(p.data)), offset], [[1, 2], 3])
    })

    test('an error has its code, an rpc is not there', async (t) => {
      const c = await connect(t)
      const sub = subscription(c, unique('closed'))
      const refused = next(sub, 'unsubscribed')
      sub.subscribe()
      assert.equal((await refused).code, 103)
      await assert.rejects(c.rpc('anything', encode(1)), { code: 108 })
    })

    test('a recovery of many pages, cut in between, and messages that come meanwhile', async (t) => {
      const proxy = await Proxy.start(server.addr)
      t.after(() => proxy.close())
      const c = await connected(t, proxy.url, { encoding })
      const sub = await subscribed(c, unique('long'))
      const publish = (from, to) => server.api('batch', {
        commands: upTo(to - from + 1).map((i) => ({ publish: { channel: sub.channel, data: { n: from + i - 1, pad: 'x'.repeat(200) } } }))
      })
      await publish(1, 10)
      await received(sub, 10)
      proxy.cut()
      for (let n = 11; n < 6000; n += 100) await publish(n, n + 99)
      proxy.mend()
      await until('some of it', () => sub.pubs.length > 1500)
      proxy.cut()
      const more = publish(6011, 6110)
      proxy.mend()
      await more
      await received(sub, 6110)
      assert.deepEqual(sub.pubs.map((p) => p.offset), upTo(6110))
      assert.deepEqual(sub.pubs.map((p) => decode(p.data).n), upTo(6110))
      assert.ok(sub.states.slice(1).every((s) => s.wasRecovering && s.recovered))
    })

    test('changes in place of whole messages, also after a cut', async (t) => {
      const proxy = await Proxy.start(server.addr)
      t.after(() => proxy.close())
      const c = await connected(t, proxy.url, { encoding })
      const channel = unique('delta')
      const sub = await subscribed(c, channel, { delta: 'fossil' })
      const plain = await subscribed(await connect(t), channel)
      const quote = (n) => ({ symbol: 'ABC', name: 'Käse & Söhne <GmbH>', history: upTo(40), price: n })
      for (const n of upTo(20)) await server.api('publish', { channel, data: quote(n) })
      await received(sub, 20)
      proxy.cut()
      for (const n of [21, 22, 23]) await server.api('publish', { channel, data: quote(n) })
      proxy.mend()
      await received(sub, 23)
      for (const n of [24, 25]) await server.api('publish', { channel, data: quote(n) })
      await received(plain, 25)
      assert.deepEqual((await received(sub, 25)).map((p) => decode(p.data)), upTo(25).map(quote))
      assert.deepEqual(plain.pubs.map((p) => decode(p.data)), upTo(25).map(quote))
      const stats = sub.deltaStats()
      assert.ok(stats.numDeltaPayloads >= 20 && stats.compressionRatio > 0.5, JSON.stringify(stats))
    })

    test('changes are not sent where the namespace does not allow them', async (t) => {
      const sub = await subscribed(await connect(t), unique('history'), { delta: 'fossil' })
      for (const n of upTo(3)) await server.api('publish', { channel: sub.channel, data: { n } })
      assert.deepEqual((await received(sub, 3)).map((p) => decode(p.data)), [{ n: 1 }, { n: 2 }, { n: 3 }])
      assert.equal(sub.deltaStats().numDeltaPayloads, 0)
    })

    test('a choice by tags, live and recovered', async (t) => {
      const proxy = await Proxy.start(server.addr)
      t.after(() => proxy.close())
      const c = await connected(t, proxy.url, { encoding })
      const tagsFilter = { op: 'and', nodes: [{ key: 'lang', cmp: 'in', vals: ['de', 'fr'] }, { op: 'not', nodes: [{ key: 'size', cmp: 'gt', val: '10' }] }] }
      const sub = await subscribed(c, unique('tagged'), { tagsFilter })
      const publish = (data, tags) => server.api('publish', { channel: sub.channel, data, tags })
      const all = async (from) => {
        await publish(from, { lang: 'en', size: '1' })
        await publish(from + 1, { lang: 'de', size: '1' })
        await publish(from + 2, { lang: 'fr', size: '100' })
        await publish(from + 3, { lang: 'fr' })
      }
      await all(1)
      await received(sub, 2)
      proxy.cut()
      await all(5)
      proxy.mend()
      await received(sub, 4)
      await all(9)
      assert.deepEqual((await received(sub, 6)).map((p) => decode(p.data)), [2, 4, 6, 8, 10, 12])

      const other = subscription(c, unique('history'), { tagsFilter })
      const refused = next(other, 'unsubscribed')
      other.subscribe()
      assert.equal((await refused).code, 108)
    })

    test('subscriptions of the token come with the connection and are recovered with it', async (t) => {
      const proxy = await Proxy.start(server.addr)
      t.after(() => proxy.close())
      const [a, b, unknown] = [unique('history'), unique('plain'), 'nowhere:x']
      const c = client(t, proxy.url, { encoding, token: token({ sub: unique('ann'), channels: [a, b, unknown] }) })
      const told = []
      const pubs = []
      c.on('subscribed', (ctx) => told.push(ctx))
      c.on('publication', (ctx) => pubs.push([ctx.channel, decode(ctx.data)]))
      c.connect()
      await c.ready(5000)
      assert.deepEqual(told.map((s) => s.channel).sort(), [a, b].sort())
      await server.api('publish', { channel: a, data: 1 })
      await server.api('publish', { channel: b, data: 'live' })
      await until('both', () => pubs.length === 2)
      proxy.cut()
      for (const n of [2, 3]) await server.api('publish', { channel: a, data: n })
      const back = next(c, 'connected')
      proxy.mend()
      await back
      await server.api('publish', { channel: a, data: 4 })
      await until('what was missed', () => pubs.length === 5)
      assert.deepEqual(pubs.filter(([channel]) => channel === a).map(([, data]) => data), [1, 2, 3, 4])
      assert.equal(told.filter((s) => s.channel === a)[1].recovered, true)
    })

    test('subscribed and unsubscribed by a backend, with a position to recover from', async (t) => {
      const user = unique('ann')
      const c = await connect(t, { token: token({ sub: user }) })
      const channel = unique('history')
      for (const n of upTo(4)) await server.api('publish', { channel, data: n })
      const { epoch } = await server.api('history', { channel, limit: 0 })
      const pubs = []
      c.on('publication', (ctx) => pubs.push(decode(ctx.data)))
      const told = next(c, 'subscribed')
      await server.api('subscribe', { user, channel, data: { why: 1 }, recover_since: { offset: 2, epoch } })
      assert.deepEqual(decode((await told).data), { why: 1 })
      await server.api('publish', { channel, data: 5 })
      await until('all of it', () => pubs.length === 3)
      assert.deepEqual(pubs, [3, 4, 5])
      const gone = next(c, 'unsubscribed')
      await server.api('unsubscribe', { user, channel })
      assert.equal((await gone).channel, channel)
    })

    test('a channel that lists users is for them', async (t) => {
      const channel = `${unique('listed')}#ann,bob`
      const bob = await subscribed(await connect(t, { token: token({ sub: 'bob' }) }), channel)
      for (const options of [{ token: token({ sub: 'eve' }) }, {}]) {
        const other = subscription(await connect(t, options), channel)
        const refused = next(other, 'unsubscribed')
        other.subscribe()
        assert.equal((await refused).code, 103)
      }
      await server.api('publish', { channel, data: 'hush' })
      assert.equal(decode((await received(bob, 1))[0].data), 'hush')
    })

    test('a subscription token for one session', async (t) => {
      const c = client(t, server.url, { encoding, token: token({ sub: 'ann' }) })
      const on = next(c, 'connected')
      c.connect()
      const id = (await on).client
      const channel = '$' + unique('users')
      const mine = await subscribed(c, channel, { getToken: async () => token({ sub: 'ann', channel, client: id }) })
      assert.equal(mine.states.length, 1)
      const other = subscription(await connect(t, { token: token({ sub: 'ann' }) }), channel, { token: token({ sub: 'ann', channel, client: id }) })
      const refused = next(other, 'unsubscribed')
      other.subscribe()
      assert.equal((await refused).code, 103)
    })

    test('the cache gives the latest to whoever comes', async (t) => {
      const channel = unique('cache')
      for (const n of upTo(5)) await server.api('publish', { channel, data: n })
      const sub = await subscribed(await connect(t), channel, { since: { offset: 0, epoch: '' } })
      assert.equal(sub.states[0].recovered, true)
      await server.api('publish', { channel, data: 6 })
      assert.deepEqual((await received(sub, 2)).map((p) => decode(p.data)), [5, 6])
      const empty = await subscribed(await connect(t), unique('cache'), { since: { offset: 0, epoch: '' } })
      assert.deepEqual([empty.states[0].recovered, empty.pubs.length], [false, 0])
    })
  })
}

test('a message crosses the encodings', async (t) => {
  const channel = unique('plain')
  const { Client, encode, decode } = encodings.protobuf
  assert.ok(Client)
  const json = await subscribed(await connected(t, server.url), channel)
  const protobuf = await subscribed(await connected(t, server.url, { encoding: 'protobuf' }), channel)
  await json.publish({ from: 'json' })
  await protobuf.publish(encode({ from: 'protobuf' }))
  await protobuf.publish(bytes(0, 1, 254))
  await server.api('publish', { channel, b64data: Buffer.from([9, 200]).toString('base64') })
  assert.deepEqual((await received(json, 4)).map((p) => p.data), [{ from: 'json' }, { from: 'protobuf' }, 'AAH+', 'Ccg='])
  const got = (await received(protobuf, 4)).map((p) => p.data)
  assert.deepEqual(got.slice(0, 2).map(decode), [{ from: 'json' }, { from: 'protobuf' }])
  assert.deepEqual(got.slice(2).map((d) => [...d]), [[0, 1, 254], [9, 200]])
})

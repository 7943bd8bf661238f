import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import { connected, received, subscribed, unique, until } from './lib/client.mjs'
import { config } from './lib/config.mjs'
import { Server } from './lib/server.mjs'

let server
before(async () => { server = await Server.start(config) })
after(() => server.remove())

const data = (sub) => sub.pubs.map((p) => p.data)

for (const namespace of ['plain', 'history', 'memory']) {
  test(`${namespace}: from client to client, the publisher included`, async (t) => {
    const [a, b] = [await connected(t, server.url), await connected(t, server.url)]
    const channel = unique(namespace)
    const [sa, sb] = [await subscribed(a, channel), await subscribed(b, channel)]
    await sa.publish({ n: 1 })
    await sb.publish({ n: 2 })
    await a.publish(channel, { n: 3 })
    const want = [{ n: 1 }, { n: 2 }, { n: 3 }]
    assert.deepEqual((await received(sa, 3)).map((p) => p.data), want)
    assert.deepEqual((await received(sb, 3)).map((p) => p.data), want)
    assert.deepEqual(sb.pubs.map((p) => p.offset), namespace === 'plain' ? [undefined, undefined, undefined] : [1, 2, 3])
    assert.match(sb.pubs[0].info.client, /^[0-9a-f-]{36}$/)
  })

  test(`${namespace}: from a backend to every client`, async (t) => {
    const clients = [await connected(t, server.url), await connected(t, server.url), await connected(t, server.url)]
    const channel = unique(namespace)
    const subs = await Promise.all(clients.map((c) => subscribed(c, channel)))
    for (let n = 1; n <= 50; n++) await server.api('publish', { channel, data: { n }, tags: { n: String(n) } })
    for (const sub of subs) {
      const pubs = await received(sub, 50)
      assert.deepEqual(pubs.map((p) => p.data.n), Array.from({ length: 50 }, (_, i) => i + 1))
      assert.deepEqual(pubs[6].tags, { n: '7' })
    }
  })
}

test('several channels on one connection stay apart', async (t) => {
  const c = await connected(t, server.url)
  const channels = Array.from({ length: 30 }, (_, i) => unique(i % 2 ? 'plain' : 'history'))
  const subs = await Promise.all(channels.map((ch) => subscribed(c, ch)))
  await server.api('broadcast', { channels, data: 'all' })
  for (const [i, channel] of channels.entries()) await server.api('publish', { channel, data: i })
  for (const [i, sub] of subs.entries()) assert.deepEqual((await received(sub, 2)).map((p) => p.data), ['all', i])
  subs[0].unsubscribe()
  await until('the unsubscribe has arrived', async () => (await server.api('channels', { pattern: channels[0] })).channels[channels[0]] === undefined)
  await server.api('broadcast', { channels, data: 'rest' })
  await received(subs[29], 3)
  assert.equal(subs[0].pubs.length, 2)
})

test('64 KiB both ways', async (t) => {
  const c = await connected(t, server.url)
  const sub = await subscribed(c, unique('history'))
  const large = { text: 'ä'.repeat(32 << 10) + 'end' }
  await sub.publish(large)
  await server.api('publish', { channel: sub.channel, data: large })
  assert.deepEqual((await received(sub, 2)).map((p) => p.data), [large, large])
  assert.deepEqual((await sub.history({ limit: 2 })).publications.map((p) => p.data), [large, large])
})

test('text arrives as it was written', async (t) => {
  const c = await connected(t, server.url)
  const texts = [
    'emoji 👩‍👩‍👧‍👦 🏳️‍🌈', 'astral 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐍈', 'right to left: שלום مرحبا', 'lines \u2028 and \u2029 in a string',
    'escapes \\ " / \b \f \n \r \t \u0000 \u001f', 'combining e\u0301 and é', 'lone escape \\ud83d is text', '日本語 한국어', ''
  ]
  const sub = await subscribed(c, unique('history'))
  for (const text of texts) {
    await sub.publish({ [text]: text })
    await server.api('publish', { channel: sub.channel, data: text })
  }
  const want = texts.flatMap((text) => [{ [text]: text }, text])
  assert.deepEqual((await received(sub, want.length), data(sub)), want)
})

test('every JSON value is data', async (t) => {
  const c = await connected(t, server.url)
  const sub = await subscribed(c, unique('history'))
  const values = [0, -1.5e300, 9007199254740991, true, false, '', 'x', [], [[[]]], {}, { a: { b: [1, null] } }]
  for (const value of values) await sub.publish(value)
  await received(sub, values.length)
  assert.deepEqual(data(sub), values)
})

test('channel names are Unicode too', async (t) => {
  const c = await connected(t, server.url)
  const sub = await subscribed(c, unique('plain') + '/комната 🎺')
  await server.api('publish', { channel: sub.channel, data: 1 })
  await received(sub, 1)
})

test('line breaks between tokens do not break the frame', async (t) => {
  const c = await connected(t, server.url)
  const sub = await subscribed(c, unique('history'))
  await fetch(`http://${server.addr}/api/publish`, {
    method: 'POST', headers: { 'X-API-Key': 'npm', 'Content-Type': 'application/json' },
    body: `{"channel":"${sub.channel}","data":{\r\n"a":\n"b\\nc"\n}\n}`
  })
  assert.deepEqual((await received(sub, 1))[0].data, { a: 'b\nc' })
})

test('the same idempotency key is stored once', async (t) => {
  const c = await connected(t, server.url)
  const sub = await subscribed(c, unique('history'))
  const request = { channel: sub.channel, data: 'once', idempotency_key: 'k' }
  const [first, second] = [await server.api('publish', request), await server.api('publish', request)]
  assert.deepEqual(second, { ...first, duplicate: true })
  await sub.publish('next')
  await received(sub, 2)
  assert.deepEqual(data(sub), ['once', 'next'])
})

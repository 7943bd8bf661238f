import assert from 'node:assert/strict'
import test, { after, before, describe } from 'node:test'
import { EventSource } from 'eventsource'
import { connected, received, subscribed, unique, until } from './lib/client.mjs'
import { config } from './lib/config.mjs'
import { Proxy } from './lib/proxy.mjs'
import { Server } from './lib/server.mjs'
import { token } from './lib/token.mjs'

const upTo = (n) => Array.from({ length: n }, (_, i) => i + 1)

let server
before(async () => { server = await Server.start(config) })
after(() => server.remove())

const query = (channels, rest = {}) => '?' + new URLSearchParams([...channels.map((c) => ['channel', c]), ...Object.entries(rest)])

// source is a bare EventSource, and what it has been told.
function source(t, channels, { addr = server.addr, ...rest } = {}) {
  const es = new EventSource(`http://${addr}/sse${query(channels, rest)}`)
  const got = { es, messages: [], subscribed: [], unsubscribed: [], disconnects: [], ids: [] }
  es.addEventListener('message', (e) => { got.messages.push(JSON.parse(e.data)); got.ids.push(e.lastEventId) })
  es.addEventListener('subscribed', (e) => got.subscribed.push(JSON.parse(e.data)))
  es.addEventListener('unsubscribed', (e) => got.unsubscribed.push(JSON.parse(e.data)))
  es.addEventListener('disconnect', (e) => got.disconnects.push(JSON.parse(e.data)))
  t.after(() => es.close())
  return got
}

async function listening(t, channels, options) {
  const got = source(t, channels, options)
  await until('subscribed', () => got.subscribed.length === channels.length)
  return got
}

const publish = (channel, data, more = {}) => server.api('publish', { channel, data, ...more })

async function poll(channels, rest = {}, headers = {}) {
  const response = await fetch(`http://${server.addr}/poll${query(channels, rest)}`, { headers })
  return { status: response.status, headers: response.headers, ...(await response.json()) }
}

describe('EventSource', () => {
  test('several channels, tags, Unicode, large messages', async (t) => {
    const channels = [unique('history'), unique('plain'), unique('history')]
    const got = await listening(t, channels)
    assert.deepEqual(got.subscribed.map((s) => s.channel), channels)
    await publish(channels[0], { text: 'Ünïcödé ✓ 🚀' }, { tags: { k: 'v' } })
    await publish(channels[1], 'x'.repeat(64 << 10))
    await publish(channels[2], [1, 2])
    await until('three messages', () => got.messages.length === 3)
    const by = (channel) => got.messages.find((m) => m.channel === channel)
    assert.deepEqual([by(channels[0]).data.text, by(channels[0]).tags, by(channels[0]).offset], ['Ünïcödé ✓ 🚀', { k: 'v' }, 1])
    assert.equal(by(channels[1]).data.length, 64 << 10)
    assert.equal(by(channels[1]).offset, undefined)
    assert.deepEqual(by(channels[2]).data, [1, 2])
  })

  for (const count of [1, 3]) {
    test(`cut again and again it resumes exactly, ${count} channels`, async (t) => {
      const proxy = await Proxy.start(server.addr)
      t.after(() => proxy.close())
      const channels = upTo(count).map(() => unique('history'))
      const got = source(t, channels, { addr: new URL(proxy.url).host })
      got.es.addEventListener('error', () => proxy.mend())
      let n = 0
      const each = async (times) => {
        while (times-- > 0) {
          n++
          for (const channel of channels) await publish(channel, n)
        }
      }
      await until('subscribed', () => got.subscribed.length === count)
      for (let round = 1; round <= 2; round++) {
        await each(5)
        proxy.cut()
        await each(20)
        await until('subscribed again', () => got.subscribed.length === count * (round + 1))
      }
      await each(1)
      for (const channel of channels) {
        const data = () => got.messages.filter((m) => m.channel === channel).map((m) => m.data)
        await until('all messages', () => data().length >= n)
        assert.deepEqual(data(), upTo(n))
      }
      assert.ok(got.subscribed.slice(count).every((s) => s.recovered === true))
    })
  }

  test('a position that is lost is told', async (t) => {
    const channel = unique('small')
    for (const n of upTo(10)) await publish(channel, n)
    const { epoch } = await server.api('history', { channel, limit: 0 })
    for (const [position, recovered] of [[`${channel.replace(':', '~3A')}:${epoch}:1`, false], [`${channel.replace(':', '~3A')}:${epoch}:8`, true]]) {
      const got = await listening(t, [channel], { position })
      assert.equal(got.subscribed[0].recovered, recovered)
      assert.equal(got.subscribed[0].offset, 10)
      await until('what was missed', () => got.messages.length === (recovered ? 2 : 0))
    }
  })

  test('heartbeats, padding and headers, as a proxy sees them', async (t) => {
    const away = new AbortController()
    t.after(() => away.abort())
    const response = await fetch(`http://${server.addr}/sse${query([unique('plain')], { padding: 1 })}`, { signal: away.signal })
    assert.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8')
    assert.equal(response.headers.get('x-accel-buffering'), 'no')
    assert.match(response.headers.get('cache-control'), /no-store.*no-transform/)
    assert.equal(response.headers.get('etag'), null)
    let text = ''
    for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
      text += chunk
      if (/\n:\n\n/.test(text)) break
    }
    assert.match(text, /^retry: 3000\n\n: {2048}\n\nevent: subscribed\n/)
  })

  test('a backend ends a subscription, then the connection', async (t) => {
    const channels = [unique('users'), unique('users')]
    const got = await listening(t, channels, { token: token({ sub: 'eve' }) })
    await server.api('unsubscribe', { user: 'eve', channel: channels[0] })
    await until('unsubscribed', () => got.unsubscribed.length === 1)
    await publish(channels[0], 1)
    await publish(channels[1], 2)
    await until('the other one', () => got.messages.length === 1)
    assert.deepEqual([got.unsubscribed[0], got.messages[0].data], [{ channel: channels[0], code: 2000, reason: 'server unsubscribe' }, 2])
    await server.api('disconnect', { user: 'eve' })
    await until('the end', () => got.disconnects.length === 1)
    assert.equal(got.disconnects[0].code, 3503)
    got.es.close()
  })

  test('what is refused is an HTTP error', async () => {
    for (const [path, status, code] of [
      [query([]), 400, 107], [query(['nowhere:x']), 404, 102], [query([unique('closed')]), 403, 103],
      [query([unique('plain'), unique('closed')]), 403, 103], [query([unique('plain')], { token: 'x' }), 401, 3500],
      [query([unique('history')], { position: 'nonsense' }), 400, 107], [query(['a'.repeat(300)]), 400, 107],
      [query([unique('history'), unique('history')].concat(upTo(200).map((n) => `history:${n}`))), 400, 106]
    ]) {
      const response = await fetch(`http://${server.addr}/sse${path}`)
      const { error } = await response.json()
      assert.deepEqual([response.status, error.code], [status, code], path.slice(0, 80))
    }
  })

  test('a token brings channels, and they resume', async (t) => {
    const channels = [unique('history'), unique('history')]
    const jwt = token({ sub: 'eve', channels })
    const first = source(t, [], { token: jwt })
    await until('subscribed', () => first.subscribed.length === 2)
    for (const channel of channels) await publish(channel, 1)
    await until('two messages', () => first.messages.length === 2)
    first.es.close()
    for (const channel of channels) await publish(channel, 2)
    const second = source(t, [channels[0]], { token: jwt, position: first.ids[1] })
    await until('what was missed', () => second.messages.length === 2)
    assert.deepEqual(second.messages.map((m) => m.offset), [2, 2])
    assert.deepEqual(second.subscribed.map((s) => s.recovered), [true, true])
  })

  test('a stop sends it away, and it resumes where a new start listens', async (t) => {
    const own = await Server.start(config)
    t.after(() => own.remove())
    const proxy = await Proxy.start(own.addr)
    t.after(() => proxy.close())
    const channel = unique('history')
    const got = await listening(t, [channel], { addr: new URL(proxy.url).host })
    assert.equal(await own.stop(), 0)
    await until('the reason', () => got.disconnects.length === 1)
    assert.equal(got.disconnects[0].code, 3001)
    await own.up()
    proxy.target = own.addr
    await own.api('publish', { channel, data: 1 })
    await until('the message', () => got.messages.length === 1)
  })
})

describe('poll', () => {
  test('waits for a message and goes on from there', async () => {
    const channel = unique('history')
    let { position, messages } = await poll([channel], { wait: '0' })
    assert.deepEqual(messages, [])
    const waiting = poll([channel], { position, wait: '20s' })
    await until('it waits', async () => (await server.api('channels', { pattern: channel })).channels[channel])
    await publish(channel, 'one')
    const first = await waiting
    assert.deepEqual([first.messages.map((m) => m.data), first.recovered], [['one'], { [channel]: true }])
    for (const n of [2, 3, 4]) await publish(channel, n)
    const second = await poll([channel], { position: first.position })
    assert.deepEqual(second.messages.map((m) => m.offset), [2, 3, 4])
    const third = await poll([channel], { position: second.position, wait: '30ms' })
    assert.deepEqual([third.messages, third.position], [[], second.position])
    assert.match(third.headers.get('cache-control'), /no-store/)
    assert.equal(third.headers.get('etag'), null)
  })

  test('what is lost is told at once', async () => {
    const channel = unique('small')
    const { position } = await poll([channel], { wait: 0 })
    for (const n of upTo(10)) await publish(channel, n)
    const told = await poll([channel], { position, wait: '60s' })
    assert.deepEqual([told.recovered, told.messages], [{ [channel]: false }, []])
    assert.deepEqual((await poll([channel], { position: told.position, wait: 0 })).recovered, { [channel]: true })
  })

  test('loses nothing between polls while messages come', async () => {
    const channels = [unique('history'), unique('history')]
    let { position } = await poll(channels, { wait: 0 })
    const publishing = (async () => { for (const n of upTo(100)) for (const c of channels) await publish(c, n) })()
    const got = []
    while (got.length < 200) {
      const reply = await poll(channels, { position, wait: '5s' })
      position = reply.position
      got.push(...reply.messages)
    }
    await publishing
    for (const c of channels) assert.deepEqual(got.filter((m) => m.channel === c).map((m) => m.data), upTo(100))
  })

  test('is present while it waits, and nobody is told', async (t) => {
    const channel = unique('who')
    const sub = await subscribed(await connected(t, server.url), channel)
    const waiting = poll([channel], { wait: '20s' })
    await until('it is present', async () => (await server.api('presence_stats', { channel })).num_clients === 2)
    await publish(channel, 1)
    assert.equal((await waiting).messages.length, 1)
    await received(sub, 1)
    await until('it has left', async () => (await server.api('presence_stats', { channel })).num_clients === 1)
    assert.deepEqual(sub.leaves, [])
  })

  test('a bearer token, and refusals', async () => {
    const channel = unique('users')
    assert.equal((await poll([channel], { wait: 0 })).status, 403)
    assert.equal((await poll([channel], { wait: 0 }, { Authorization: 'Bearer ' + token({ sub: 'eve' }) })).status, 200)
    const bad = await poll([channel], { wait: '2h' })
    assert.deepEqual([bad.status, bad.error.code], [400, 107])
    assert.equal((await fetch(`http://${server.addr}/poll?channel=a`, { method: 'POST' })).status, 405)
  })

  test('a page of another site needs to be allowed', async (t) => {
    const own = await Server.start({ ...config, client: { ...config.client, allowed_origins: ['https://app.example.org'] } })
    t.after(() => own.remove())
    const from = (origin, method = 'GET') => fetch(`http://${own.addr}/poll?channel=plain:a&wait=0`, { method, headers: { Origin: origin } })
    const friend = await from('https://app.example.org')
    assert.deepEqual([friend.status, friend.headers.get('access-control-allow-origin')], [200, 'https://app.example.org'])
    assert.equal((await from('https://evil.example')).status, 403)
    assert.equal((await from('https://app.example.org', 'OPTIONS')).status, 204)
  })
})

test('one channel, three ways to listen, one order', async (t) => {
  const channel = unique('memory')
  const sub = await subscribed(await connected(t, server.url), channel)
  const got = await listening(t, [channel])
  let { position } = await poll([channel], { wait: 0 })
  const polled = []
  const polling = (async () => {
    while (polled.length < 100) {
      const reply = await poll([channel], { position, wait: '5s' })
      position = reply.position
      polled.push(...reply.messages)
    }
  })()
  for (const n of upTo(100)) await publish(channel, n)
  await Promise.all([received(sub, 100), polling, until('all events', () => got.messages.length === 100)])
  for (const list of [sub.pubs, got.messages, polled]) assert.deepEqual(list.map((m) => m.offset), upTo(100))
})

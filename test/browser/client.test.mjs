import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, test } from 'node:test'

import { launch } from './browser.mjs'
import { Hostile } from './hostile.mjs'
import { scratch, Server, until } from './server.mjs'

let browser
let server
let proxy
let context

before(async () => {
  server = await Server.dev()
  browser = await launch()
})

after(async () => {
  await browser?.close()
  await server?.stop()
})

beforeEach(async () => {
  proxy = await Hostile.start(server.url)
  context = await browser.newContext()
})

afterEach(async () => {
  await context.close()
  await proxy.close()
})

// Tab is a page without content, of the server's origin and under its policy, in
// which a client from /client.js runs.
class Tab {
  static async open(options = {}) {
    const tab = new Tab()
    tab.page = await context.newPage()
    await tab.page.goto(`${proxy.url}/client.d.ts`)
    await tab.start(options)
    return tab
  }

  // start makes a client that writes down all that it is told.
  async start(options = {}) {
    await this.page.evaluate(async (given) => {
      const { Client } = await import('/client.js')
      window.client = new Client({ timeout: 4000, minDelay: 20, maxDelay: 200, ...given })
      window.told = []
      for (const type of ['state', 'fallback', 'subscribed', 'publication', 'join', 'leave', 'unsubscribed']) {
        window.client.on(type, (detail) => window.told.push({ type, ...detail }))
      }
    }, options)
  }

  do(work, argument) { return this.page.evaluate(work, argument) }

  connect() { return this.do(() => window.client.connect()) }

  subscribe(channel, options = {}) {
    return this.do(([name, more]) => { window.client.subscribe(name, more) }, [channel, options])
  }

  told(type) { return this.do((wanted) => window.told.filter((one) => one.type === wanted), type) }

  async becomes(state) {
    await until(() => this.do((wanted) => window.client.state === wanted, state), `the client to be ${state}`)
    return this.do(() => window.client.transport)
  }

  subscribed(n = 1) {
    return until(async () => {
      const all = await this.told('subscribed')
      return all.length >= n && all.at(-1)
    }, `${n} subscribed`)
  }

  received(n) {
    return until(async () => {
      const all = await this.told('publication')
      return all.length >= n && all
    }, `${n} publications`)
  }
}

// jwt signs claims with HS256 (RFC 7519).
function jwt(secret, claims) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`
}

let channels = 0
const unique = () => `client-${++channels}~ü'`
const range = (n) => Array.from({ length: n }, (_, i) => i + 1)
const offsets = (list) => list.map((one) => one.offset)

// Networks, each with the transport that is left and what it costs to find it.
const networks = {
  'an open network': { set: {}, transport: 'websocket', fallbacks: [] },
  'no WebSocket': { set: { upgrades: false }, transport: 'http_stream', fallbacks: ['websocket'] },
  'no WebSocket, no fetch streams': { set: { upgrades: false }, lacks: ['TextDecoderStream'], transport: 'sse', fallbacks: ['websocket'] },
  'held back responses': { set: { upgrades: false, buffers: true }, transport: 'poll', fallbacks: ['websocket', 'http_stream', 'sse'] },
}

for (const [name, { set, lacks = [], transport, fallbacks }] of Object.entries(networks)) {
  test(`${name}: finds ${transport}, delivers, and recovers from cuts`, async () => {
    Object.assign(proxy, set)
    const tab = await Tab.open(Object.fromEntries(lacks.map((lack) => [lack, 0])))
    const channel = unique()
    await tab.subscribe(channel)
    await tab.connect()
    assert.equal(await tab.becomes('connected'), transport)
    const told = await tab.told('fallback')
    assert.deepEqual(told.map((one) => one.from), fallbacks)
    assert.ok(told.every((one) => one.reason), JSON.stringify(told))
    await tab.subscribed()

    for (const n of range(30)) {
      await server.publish(channel, { n })
      if (n % 10 === 5) proxy.cut()
    }
    await tab.received(30)
    await server.publish(channel, { n: 31 })
    const list = await tab.received(31)
    assert.deepEqual(offsets(list), range(31))
    assert.deepEqual(list.map((one) => one.data.n), range(31))
    assert.equal(new Set(list.map((one) => one.epoch)).size, 1)
    const subscribed = await tab.told('subscribed')
    assert.ok(subscribed.every((one) => !one.wasRecovering || one.recovered), 'nothing was lost')
  })
}

for (const transport of ['websocket', 'http_stream', 'sse']) {
  test(`${transport}: publishes, reads history and presence, sees who comes and goes`, async () => {
    const tab = await Tab.open({ transports: [transport] })
    const channel = unique()
    await tab.subscribe(channel, { joinLeave: true })
    await tab.connect()
    await tab.becomes('connected')
    await tab.subscribed()
    await tab.do((name) => Promise.all(['a', { b: 'ß' }, null].map((data) => window.client.publish(name, data))), channel)
    const list = await tab.received(3)
    assert.deepEqual(list.map((one) => one.data), ['a', { b: 'ß' }, null])
    assert.equal(list[0].info.client, await tab.do(() => window.client.id))
    const { epoch, offset, publications } = await tab.do((name) => window.client.history(name, { limit: 2, reverse: true }), channel)
    assert.deepEqual([epoch, offset, offsets(publications)], [list[0].epoch, 3, [3, 2]])
    assert.deepEqual(Object.keys(await tab.do((name) => window.client.presence(name), channel)), [list[0].info.client])

    const other = await Tab.open()
    await other.subscribe(channel)
    await other.connect()
    await other.subscribed()
    await other.do(() => window.client.disconnect())
    await until(async () => (await tab.told('leave')).length === 1, 'the other to leave')
    const joins = await tab.told('join')
    assert.equal(joins.at(-1).info.client, (await tab.told('leave'))[0].info.client)

    await tab.do((name) => window.client.subscriptions.get(name).unsubscribe(), channel)
    await until(async () => Object.keys((await server.call('presence', { channel })).presence).length === 0, 'nobody to be there')
    assert.deepEqual((await tab.told('unsubscribed')).map((one) => one.code), [0])
  })
}

test('poll: says what it cannot do, and serves many channels that come and go', async () => {
  const tab = await Tab.open({ transports: ['poll'] })
  await tab.connect()
  await tab.becomes('connected')
  const [one, two, three] = [unique(), unique(), unique()]
  for (const channel of [one, two, three]) await tab.subscribe(channel)
  await tab.subscribed(3)
  const refused = await tab.do((name) => window.client.publish(name, 1).catch(({ code, temporary }) => ({ code, temporary })), one)
  assert.deepEqual(refused, { code: 108, temporary: false })
  await tab.do((name) => window.client.subscriptions.get(name).unsubscribe(), two)
  for (const channel of [one, two, three]) await server.publish(channel, channel)
  const list = await tab.received(2)
  assert.deepEqual(list.map((publication) => publication.data).sort(), [one, three].sort())
})

test('poll: asks for shorter waits where nothing may take long', async () => {
  Object.assign(proxy, { upgrades: false, patience: 1500 })
  const tab = await Tab.open({ transports: ['poll'] })
  const channel = unique()
  await tab.subscribe(channel)
  await tab.connect()
  await tab.subscribed()
  const polls = () => proxy.paths.filter((path) => path === '/poll').length
  await until(() => polls() >= 4, 'a wait that the proxy did not like, and what came after it')
  await server.publish(channel, 1)
  await server.publish(channel, 2)
  assert.deepEqual(offsets(await tab.received(2)), [1, 2])
  assert.deepEqual((await tab.told('state')).map((one) => one.state), ['connecting', 'connected'])
})

test('brings what was published while the page was reloaded', async () => {
  const tab = await Tab.open({ remember: true })
  const [kept, plain] = [unique(), unique()]
  await tab.subscribe(kept, { remember: true })
  await tab.subscribe(plain)
  await tab.connect()
  await tab.subscribed(2)
  await server.publish(kept, 1)
  await tab.received(1)
  await tab.page.goto('about:blank')
  for (const channel of [kept, plain]) await server.publish(channel, 2)
  await tab.page.goto(`${proxy.url}/client.d.ts`)
  await tab.start({ remember: true })
  await tab.subscribe(kept, { remember: true })
  await tab.subscribe(plain)
  await tab.connect()
  await tab.subscribed(2)
  await server.publish(kept, 3)
  const list = await tab.received(2)
  assert.deepEqual(list.map(({ channel, data, recovered }) => [channel, data, recovered]), [[kept, 2, true], [kept, 3, false]])
})

test('says so when what was missed is gone', async () => {
  const tab = await Tab.open()
  const channel = unique()
  await tab.subscribe(channel, { since: { epoch: 'of another life', offset: 7 } })
  await tab.connect()
  const { wasRecovering, recovered, missed } = await tab.subscribed()
  assert.deepEqual({ wasRecovering, recovered, missed }, { wasRecovering: true, recovered: false, missed: 0 })
})

test('knows a server that is down from a transport that is blocked, and comes back', async () => {
  const tab = await Tab.open()
  const channel = unique()
  await tab.subscribe(channel)
  await tab.connect()
  await tab.subscribed()
  proxy.down = true
  proxy.cut()
  const misses = async () => (await tab.told('state')).filter((one) => one.state === 'waiting').length
  await until(async () => await misses() >= 6, 'six tries in vain')
  await server.publish(channel, 1)
  proxy.down = false
  await tab.received(1)
  assert.deepEqual(await tab.told('fallback'), [])
  assert.equal(await tab.becomes('connected'), 'websocket')
})

test('a page that is offline comes back when it is online', async () => {
  const tab = await Tab.open({ minDelay: 20_000, maxDelay: 20_000 })
  const channel = unique()
  await tab.subscribe(channel)
  await tab.connect()
  await tab.subscribed()
  await context.setOffline(true)
  await tab.becomes('waiting')
  assert.equal((await tab.told('state')).at(-1).reason, 'offline')
  await server.publish(channel, 1)
  await context.setOffline(false)
  await tab.received(1)
})

test('pages of another site import it, and use every transport, if the server allows them', async () => {
  const site = createServer((request, response) => response.writeHead(200, { 'Content-Type': 'text/html' }).end('<title>Elsewhere</title>'))
  await new Promise((resolve) => site.listen(0, '127.0.0.1', resolve))
  const origin = `http://127.0.0.1:${site.address().port}`
  const file = join(scratch('config'), 'fanfare.json')
  writeFileSync(file, JSON.stringify({
    app: { secret: 'secret' }, api: { key: 'key' }, client: { allowed_origins: [origin] },
    channel: { without_namespace: { history_size: 10, history_ttl: '1m', allow_subscribe_for_client: true, allow_publish_for_client: true } },
  }))
  const strict = await Server.with(['--config', file], 'key')
  try {
    const page = await context.newPage()
    await page.goto(origin)
    for (const transport of ['websocket', 'http_stream', 'sse', 'poll']) {
      const channel = unique()
      const first = page.evaluate(async ([url, name, only, token]) => {
        const { Client } = await import(`${url}/client.js`)
        const client = new Client({ url, token, transports: [only], timeout: 3000 })
        const received = new Promise((resolve, reject) => {
          const sub = client.subscribe(name, resolve)
          sub.on('subscribed', () => { if (only !== 'poll') sub.publish({ from: only }).catch(reject) })
          client.on('state', ({ state, reason }) => { if (state === 'waiting' || state === 'disconnected') reject(new Error(reason)) })
        })
        client.connect()
        return received.finally(() => client.disconnect())
      }, [strict.url, channel, transport, jwt('secret', { sub: '42' })])
      if (transport === 'poll') {
        await until(async () => (await strict.call('channels', { pattern: channel })).channels[channel], 'the poll to wait')
        await strict.publish(channel, { from: 'poll' })
      }
      const { data, info } = await first
      assert.deepEqual([data.from, info?.user], [transport, transport === 'poll' ? undefined : '42'])
    }
  } finally {
    await strict.stop()
    site.close()
  }
})

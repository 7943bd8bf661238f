// What needs no browser: time, tokens, storage and refusals, with a network of the
// tests' own. How the client fares with real servers, browsers and proxies is in
// test/browser/client.test.mjs.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { afterEach, beforeEach, mock, test } from 'node:test'

import { Client, FanfareError, Subscription } from './client.js'

let sockets = []
let jitter = 0.5 // what Math.random gives

// FakeSocket is a WebSocket whose server is the test.
class FakeSocket {
  sent = []

  constructor(url) {
    this.url = url
    sockets.push(this)
  }

  send(frame) { this.sent.push(...frame.split('\n').map((line) => JSON.parse(line))) }
  close() { this.closed = true }
  open() { this.onopen() }
  say(...messages) { this.onmessage({ data: messages.map((one) => JSON.stringify(one)).join('\n') }) }
  end(code, reason = '') { this.onclose({ code, reason }) }
  last(method) { return this.sent.findLast((command) => command[method]) }
  answer(method, body) { this.say({ id: this.last(method).id, [method]: body }) }
  refuse(method, code, temporary) { this.say({ id: this.last(method).id, error: { code, message: `refused ${code}`, temporary } }) }
}

// settle lets everything that waits for nothing but its turn have it.
const settle = () => new Promise((resolve) => setImmediate(resolve))

function memory(initial = {}) {
  const map = new Map(Object.entries(initial))
  return { map, getItem: (key) => map.get(key) ?? null, setItem: (key, value) => { map.set(key, value) } }
}

function make(options = {}) {
  const client = new Client({
    url: 'https://push.test/', transports: ['websocket'], WebSocket: FakeSocket, fetch: () => Promise.reject(new Error('unreachable')),
    sessionStorage: memory(), ...options,
  })
  client.told = []
  for (const type of ['state', 'fallback', 'subscribed', 'publication', 'unsubscribed']) {
    client.on(type, (detail) => client.told.push({ type, ...detail }))
  }
  return client
}

// connected gives a client and the socket that it is connected by.
async function connected(options, reply = { client: 'c1', ping: 25, pong: true }) {
  const client = make(options)
  client.connect()
  await settle()
  const socket = sockets.at(-1)
  socket.open()
  socket.answer('connect', reply)
  await settle()
  return { client, socket }
}

beforeEach(() => {
  sockets = []
  jitter = 0.5
  mock.timers.enable({ apis: ['setTimeout', 'Date'] })
  mock.method(Math, 'random', () => jitter)
})

afterEach(() => {
  mock.timers.reset()
  mock.restoreAll()
})

// pass moves the time on.
async function pass(ms) {
  mock.timers.tick(ms)
  await settle()
}

test('connects and subscribes in one frame, and answers pings', async () => {
  const client = make({ token: 'secret', name: 'n' })
  const received = []
  client.subscribe('news', (publication) => received.push(publication))
  client.connect()
  await settle()
  const [socket] = sockets
  assert.equal(socket.url, 'wss://push.test/connection/websocket')
  socket.open()
  assert.deepEqual(socket.sent, [
    { id: 1, connect: { name: 'n', token: 'secret', subs: {} } },
    { id: 2, subscribe: { channel: 'news', positioned: true, recoverable: true } },
  ])
  socket.say({ id: 1, connect: { client: 'c1', ping: 25, pong: true } }, { id: 2, subscribe: { recoverable: true, epoch: 'e', offset: 4 } })
  socket.say({ push: { channel: 'news', pub: { data: { a: 1 }, offset: 5, tags: { event: 'tick' } } } }, {})
  await settle()
  assert.deepEqual(received, [{
    channel: 'news', data: { a: 1 }, offset: 5, epoch: 'e', event: 'tick', tags: { event: 'tick' }, info: null, time: 0, recovered: false,
  }])
  assert.deepEqual(socket.sent.at(-1), {}, 'the pong')
  assert.deepEqual([client.state, client.id, client.transport], ['connected', 'c1', 'websocket'])
  assert.deepEqual(client.subscriptions.get('news').position, { epoch: 'e', offset: 5 })
})

test('backs off with full jitter up to a ceiling, and anew after a good connection', async () => {
  const { client, socket } = await connected({ minDelay: 100, maxDelay: 1000 })
  const waits = () => client.told.filter((one) => one.state === 'waiting').map((one) => one.wait)
  jitter = 0.999_999
  socket.end(1006)
  for (let n = 0; n < 6; n++) {
    await pass(1000)
    sockets.at(-1).end(1006)
    await settle()
  }
  assert.deepEqual(waits().map(Math.ceil), [100, 200, 400, 800, 1000, 1000, 1000])
  jitter = 0
  await pass(1000)
  sockets.at(-1).end(1006)
  await settle()
  assert.equal(waits().at(-1), 0, 'a wait may be nothing')
  await pass(0)
  sockets.at(-1).open()
  sockets.at(-1).answer('connect', { client: 'c2', ping: 25 })
  jitter = 1
  await pass(6000)
  sockets.at(-1).end(1006)
  assert.equal(waits().at(-1), 100)
})

test('spreads over seconds when a server stops, as everybody comes back then', async () => {
  const { client, socket } = await connected({ minDelay: 100 })
  jitter = 1
  socket.end(3001, 'shutdown')
  assert.equal(client.told.at(-1).wait, 3000)
})

test('a silent connection is given up after the ping interval and the timeout', async () => {
  const { client } = await connected({ timeout: 4000 })
  await pass(28_999)
  assert.equal(client.state, 'connected')
  await pass(1)
  assert.deepEqual([client.state, client.told.at(-1).reason], ['waiting', 'silence'])
})

for (const [code, state] of [[3000, 'waiting'], [3500, 'disconnected'], [3999, 'disconnected'], [4000, 'waiting'], [4500, 'disconnected'], [1006, 'waiting'], [3008, 'waiting']]) {
  test(`after code ${code} it is ${state}`, async () => {
    const { client, socket } = await connected()
    socket.end(code, 'why')
    await settle()
    assert.equal(client.state, state)
    assert.deepEqual([client.told.at(-1).code, client.told.at(-1).reason], [code === 1006 ? 0 : code, 'why'])
  })
}

test('a refused connect is final, a temporary error is not', async () => {
  for (const [code, temporary, state] of [[101, false, 'disconnected'], [100, true, 'waiting'], [109, false, 'disconnected']]) {
    const client = make({ token: 't' })
    client.connect()
    await settle()
    sockets.at(-1).open()
    sockets.at(-1).refuse('connect', code, temporary)
    await settle()
    assert.equal(client.state, state, `code ${code}`)
    client.disconnect()
  }
})

test('fetches a token again when it has expired, and before it expires', async () => {
  let n = 0
  const { client, socket } = await connected({ token: () => `t${++n}` }, { client: 'c', ping: 600, expires: true, ttl: 100 })
  assert.equal(socket.last('connect').connect.token, 't1')
  await pass(90_000)
  assert.equal(socket.last('refresh').refresh.token, 't2')
  socket.answer('refresh', { expires: true, ttl: 100 })
  socket.end(3005, 'expired')
  await pass(500)
  sockets.at(-1).open()
  assert.equal(sockets.at(-1).last('connect').connect.token, 't3')
  sockets.at(-1).refuse('connect', 109, false)
  await pass(1000)
  sockets.at(-1).open()
  assert.equal(sockets.at(-1).last('connect').connect.token, 't4')
  client.disconnect()
})

test('a token that cannot be fetched is tried again', async () => {
  let works = false
  const client = make({ token: async () => { if (works) return 't'; throw new Error('no network') } })
  client.connect()
  await settle()
  assert.match(client.told.at(-1).reason, /no network/)
  assert.equal(client.state, 'waiting')
  works = true
  await pass(500)
  sockets.at(-1).open()
  assert.equal(sockets.at(-1).last('connect').connect.token, 't')
})

test('fetches tokens of subscriptions, and new ones when they expire', async () => {
  const { client, socket } = await connected({}, { client: 'c', ping: 600 })
  const asked = []
  client.subscribe('$a', { token: async (channel) => { asked.push(channel); return `t${asked.length}` } })
  await settle()
  assert.equal(socket.last('subscribe').subscribe.token, 't1')
  socket.refuse('subscribe', 109, false)
  await pass(500)
  assert.equal(socket.last('subscribe').subscribe.token, 't2')
  socket.answer('subscribe', { expires: true, ttl: 100 })
  await pass(90_000)
  assert.deepEqual(socket.last('sub_refresh').sub_refresh, { channel: '$a', token: 't3' })
  assert.deepEqual(asked, ['$a', '$a', '$a'])
})

test('a refused subscription ends, a temporary error is tried again', async () => {
  const { client, socket } = await connected()
  const sub = client.subscribe('a')
  await settle()
  socket.refuse('subscribe', 100, true)
  assert.equal(sub.state, 'subscribing')
  await pass(500)
  socket.refuse('subscribe', 103, false)
  assert.equal(sub.state, 'unsubscribed')
  const { type, code, channel } = client.told.at(-1)
  assert.deepEqual({ type, code, channel }, { type: 'unsubscribed', code: 103, channel: 'a' })
  assert.equal(client.subscriptions.size, 0)
  client.subscribe('a')
})

test('the server ends a subscription, or wants it renewed from its position', async () => {
  const { client, socket } = await connected()
  const sub = client.subscribe('a')
  await settle()
  socket.answer('subscribe', { recoverable: true, epoch: 'e', offset: 2 })
  socket.say({ push: { channel: 'a', unsubscribe: { code: 2500, reason: 'insufficient state' } } })
  assert.equal(sub.state, 'subscribing')
  await pass(500)
  const { recover, epoch, offset } = socket.last('subscribe').subscribe
  assert.deepEqual({ recover, epoch, offset }, { recover: true, epoch: 'e', offset: 2 })
  socket.answer('subscribe', { recoverable: true, epoch: 'e', offset: 2, was_recovering: true, recovered: true, publications: [{ data: 1, offset: 3 }] })
  assert.deepEqual(client.told.filter((one) => one.type === 'publication').map((one) => [one.offset, one.recovered]), [[3, true]])
  socket.say({ push: { channel: 'a', unsubscribe: { code: 2000, reason: 'server unsubscribe' } } })
  assert.equal(sub.state, 'unsubscribed')
  socket.say({ push: { channel: 'a', pub: { data: 2, offset: 4 } } })
  assert.equal(client.told.at(-1).code, 2000, 'what still comes then is nobody’s')
})

test('keeps what the server subscribed to, and recovers it with the connect command', async () => {
  const { client, socket } = await connected({}, { client: 'c', ping: 25, subs: { mine: { recoverable: true, epoch: 'e', offset: 1 } } })
  assert.equal(client.subscriptions.get('mine').server, true)
  socket.say({ push: { channel: 'mine', pub: { data: 1, offset: 2 } } })
  socket.end(3001)
  await pass(3000)
  sockets.at(-1).open()
  assert.deepEqual(sockets.at(-1).last('connect').connect.subs, { mine: { recover: true, epoch: 'e', offset: 2 } })
  sockets.at(-1).answer('connect', { client: 'c', ping: 25, subs: { mine: { recoverable: true, epoch: 'e', offset: 9 } } })
  await settle()
  const { wasRecovering, recovered } = client.told.findLast((one) => one.type === 'subscribed')
  assert.deepEqual({ wasRecovering, recovered }, { wasRecovering: true, recovered: false }, 'a server that ignores the position has lost something')
  sockets.at(-1).end(3001)
  await pass(3000)
  sockets.at(-1).open()
  sockets.at(-1).answer('connect', { client: 'c', ping: 25 })
  assert.equal(client.subscriptions.size, 0)
})

test('calls wait for the connection, and fail when it is lost or takes too long', async () => {
  const client = make({ timeout: 1000 })
  const outcome = (promise) => promise.then(() => 'done', (error) => `${error instanceof FanfareError} ${error.temporary} ${error.message}`)
  assert.match(await outcome(client.publish('a', 1)), /true true not connected/)
  client.connect()
  const waiting = outcome(client.publish('a', 1))
  await settle()
  const [socket] = sockets
  socket.open()
  assert.equal(socket.last('publish'), undefined)
  socket.answer('connect', { client: 'c', ping: 25 })
  await settle()
  socket.answer('publish', {})
  assert.equal(await waiting, 'done')
  const late = outcome(client.publish('a', 2))
  await pass(1000)
  assert.match(await late, /no answer in time/)
  const cut = outcome(client.publish('a', 3))
  await settle()
  socket.end(1006)
  assert.match(await cut, /the connection was lost/)
  const never = outcome(client.publish('a', 4))
  client.disconnect()
  assert.match(await never, /the connection was lost/)
})

test('keeps positions in the storage, on request, and starts from them', async () => {
  const sessionStorage = memory()
  const { client, socket } = await connected({ sessionStorage })
  client.subscribe('kept', { remember: true })
  client.subscribe('other')
  await settle()
  for (const { id, subscribe } of socket.sent) if (subscribe) socket.say({ id, subscribe: { recoverable: true, epoch: 'e', offset: 7 } })
  socket.say({ push: { channel: 'kept', pub: { data: 1, offset: 8 } } })
  await pass(250)
  assert.deepEqual([...sessionStorage.map], [['fanfare https://push.test kept', '{"epoch":"e","offset":8}']])
  client.disconnect()

  const next = await connected({ sessionStorage })
  next.client.subscribe('kept', { remember: true })
  await settle()
  const { recover, offset } = next.socket.last('subscribe').subscribe
  assert.deepEqual({ recover, offset }, { recover: true, offset: 8 })
  next.client.subscriptions.get('kept').unsubscribe()
  assert.equal(sessionStorage.map.get('fanfare https://push.test kept'), 'null')
})

test('works with a storage that is forbidden, or holds rubbish', async () => {
  for (const sessionStorage of [{ getItem() { throw new Error('no') }, setItem() { throw new Error('no') } }, { getItem: () => '{', setItem() {} }]) {
    const { client, socket } = await connected({ sessionStorage, remember: true })
    client.subscribe('a', { remember: true })
    await settle()
    socket.answer('subscribe', { recoverable: true, epoch: 'e', offset: 1 })
    await pass(250)
    assert.equal(client.state, 'connected')
    client.disconnect()
  }
})

test('falls to the next transport only if the server can be reached, and says why', async () => {
  let there = false
  const asked = []
  const fetch = async (url, { method = 'GET' } = {}) => {
    asked.push(`${method} ${url}`)
    if (!there) throw new TypeError('unreachable')
    if (url.endsWith('/health')) return { ok: true }
    return { ok: false, status: 404, headers: new Headers(), json: async () => ({ error: { code: 404, message: 'there is nothing here' } }) }
  }
  const client = make({ transports: ['websocket', 'http_stream'], fetch })
  client.connect()
  await settle()
  sockets.at(-1).end(1006)
  await settle()
  assert.equal(client.told.at(-1).reason, 'the server cannot be reached')
  there = true
  await pass(500)
  sockets.at(-1).end(1006)
  await settle()
  const { from, to, reason } = client.told.find((one) => one.type === 'fallback')
  assert.deepEqual({ from, to, reason }, { from: 'websocket', to: 'http_stream', reason: 'the WebSocket failed' })
  await settle()
  assert.equal(client.state, 'waiting', 'a server without the last transport is no reason to give up')
  assert.equal(client.transport, 'websocket')
  assert.ok(asked.includes('POST https://push.test/connection/http_stream'))
})

test('a busy server is left alone for as long as it asks, and not taken for a blocked transport', async () => {
  const fetch = async () => ({ ok: false, status: 503, headers: new Headers({ 'Retry-After': '4' }), json: async () => ({ error: { code: 111, message: 'stopping' } }) })
  const client = make({ transports: ['http_stream', 'websocket'], fetch })
  client.connect()
  await settle()
  await settle()
  const { state, wait, reason } = client.told.at(-1)
  assert.deepEqual({ state, wait, reason }, { state: 'waiting', wait: 4250, reason: 'stopping' })
  assert.equal(client.transport, 'http_stream')
})

test('many commands leave in frames that a server takes', async () => {
  const { client, socket } = await connected()
  const frames = []
  socket.send = (frame) => frames.push(frame)
  for (let n = 0; n < 1000; n++) client.subscribe(`channel-${n}`)
  await settle()
  assert.ok(frames.length > 1 && frames.length < 20, `${frames.length} frames`)
  assert.ok(frames.every((frame) => frame.length < 64_000 && frame.split('\n').length <= 1000))
  assert.equal(frames.flatMap((frame) => frame.split('\n')).length, 1000)
})

test('a listener that throws costs nobody else a message', async () => {
  const { client, socket } = await connected()
  const errors = []
  const queue = queueMicrotask
  mock.method(globalThis, 'queueMicrotask', (work) => queue(() => {
    try {
      work()
    } catch (error) {
      errors.push(error.message) // where a browser would report it
    }
  }))
  const received = []
  client.on('publication', () => { throw new Error('mine') })
  const off = client.on('publication', (publication) => received.push(publication.data))
  client.subscribe('a')
  await settle()
  socket.answer('subscribe', {})
  socket.say({ push: { channel: 'a', pub: { data: 1 } } })
  await settle()
  off()
  client.subscriptions.get('a').unsubscribe()
  assert.deepEqual([received, errors], [[1], ['mine']])
})

test('listeners may disconnect, connect and subscribe at any moment', async () => {
  const client = make()
  const off = client.on('state', ({ state }) => { if (state === 'connected') client.disconnect() })
  client.subscribe('a')
  client.connect()
  await settle()
  sockets.at(-1).open()
  sockets.at(-1).answer('connect', { client: 'c', ping: 25 })
  await settle()
  assert.equal(client.state, 'disconnected')
  off()
  client.connect()
  await settle()
  sockets.at(-1).open()
  sockets.at(-1).answer('connect', { client: 'c', ping: 25 })
  assert.equal(client.state, 'connected')
  assert.throws(() => client.subscribe('a'), /already subscribed/)
})

test('what is not JSON is not of the server', async () => {
  const { client, socket } = await connected()
  socket.onmessage({ data: '<html>sign in to the network</html>' })
  await settle()
  assert.equal(client.state, 'waiting')
})

test('says so where no transport works', () => {
  assert.throws(() => new Client({ url: 'http://a', transports: ['carrier_pigeon'] }), /no transport works here/)
})

test('the types name every member, and none that is not there', () => {
  const types = readFileSync(new URL('client.d.ts', import.meta.url), 'utf8')
  for (const [name, made, { prototype }] of [['Client', [], Client], ['Subscription', ['client', 'unsubscribe'], Subscription]]) {
    const [, body] = types.match(new RegExp(`export class ${name} [^{]*{\\n([^]*?)\\n}`))
    const typed = [...body.matchAll(/^ {2}(?:readonly |private )*(\w+)[(:]/gm)].map(([, member]) => member)
    assert.deepEqual(typed.sort(), [...Object.getOwnPropertyNames(prototype), ...made].sort())
  }
})

// A backend behind the hooks, from the side of the published client.
import assert from 'node:assert/strict'
import test, { after, before, beforeEach } from 'node:test'
import { WebSocket } from 'ws'
import { Backend } from './lib/backend.mjs'
import { client, connected, encodings, next, received, subscribed, subscription, unique, until } from './lib/client.mjs'
import * as pusher from './lib/pusher.mjs'
import { Server } from './lib/server.mjs'
import { now } from './lib/token.mjs'

const { app } = pusher
let server, backend
before(async () => {
  backend = await Backend.start()
  server = await Server.start({
    app, api: { key: 'npm' }, hooks: backend.settings,
    channel: {
      namespaces: [{
        name: 'hook', prefixes: ['hook-'], subscribe_proxy_enabled: true, publish_proxy_enabled: true, sub_refresh_proxy_enabled: true,
        presence: true, history_size: 100, history_ttl: '1h', force_recovery: true
      }]
    }
  })
})
after(async () => {
  await server.remove()
  backend.stop()
  assert.equal(backend.forged, 0, 'signatures that the documented check refuses')
})
beforeEach(() => {
  backend.calls = []
  backend.answers = {
    connect: () => ({ result: { user: 'ann' } }),
    subscribe: () => ({ result: {} }),
    publish: () => ({ result: {} })
  }
})

// Cookie is a WebSocket as a browser with a cookie opens it.
class Cookie extends WebSocket {
  constructor(url, protocols) { super(url, protocols, { headers: { Cookie: 'sid=42', 'X-Private': 'no' } }) }
}

for (const encoding of Object.keys(encodings)) {
  const { encode, decode } = encodings[encoding]

  test(`connect by cookie (${encoding})`, async (t) => {
    const channel = unique('hook')
    backend.answers.connect = (body, headers) => headers.cookie === 'sid=42'
      ? { result: { user: 'ann', info: { name: 'Ann' }, data: { hello: 1 }, subs: { [channel]: { data: { sub: 1 } } } } }
      : { disconnect: { code: 4501, reason: 'who are you?' } }
    const c = client(t, server.url, { encoding, websocket: Cookie, data: encode({ from: 'page' }) })
    const [up, sub] = [next(c, 'connected'), next(c, 'subscribed')]
    c.connect()
    assert.deepEqual(decode((await up).data), { hello: 1 })
    assert.equal((await sub).channel, channel)
    const { body, headers } = backend.of('connect')[0]
    assert.deepEqual(body.data, { from: 'page' })
    assert.deepEqual([body.transport, body.protocol, headers['x-private']], ['websocket', encoding, undefined])
    const { presence } = await server.api('presence', { channel })
    assert.deepEqual(Object.values(presence).map((p) => [p.user, p.conn_info]), [['ann', { name: 'Ann' }]])

    const stranger = client(t, server.url, { encoding })
    const end = next(stranger, 'disconnected')
    stranger.connect()
    const { code, reason } = await end
    assert.deepEqual([code, reason], [4501, 'who are you?'])
  })

  test(`subscribe, publish and rpc (${encoding})`, async (t) => {
    backend.answers.subscribe = ({ channel, user }) => channel.endsWith('-shut')
      ? { error: { code: 403, message: 'not for ' + user } }
      : { result: { info: { role: 'guest' }, data: { topic: 'cats' } } }
    backend.answers.publish = ({ data }) => data.rude ? { error: { code: 1001, message: 'rude' } } : { result: { data: { ...data, seen: true } } }
    backend.answers.rpc = ({ method, data }) => method === 'add' ? { result: { data: { sum: data[0] + data[1] } } } : { error: { code: 104, message: 'no such method' } }

    const c = await connected(t, server.url, { encoding })
    const channel = unique('hook')
    const sub = await subscribed(c, channel)
    assert.deepEqual(decode(sub.states[0].data), { topic: 'cats' })
    const shut = subscription(c, channel + '-shut')
    const refused = next(shut, 'unsubscribed')
    shut.subscribe()
    const { code, reason } = await refused
    assert.deepEqual([code, reason], [403, 'not for ann'])

    await sub.publish(encode({ text: 'hi' }))
    assert.deepEqual(decode((await received(sub, 1))[0].data), { text: 'hi', seen: true })
    await assert.rejects(sub.publish(encode({ rude: true })), { code: 1001, message: 'rude' })
    const { presence } = await server.api('presence', { channel })
    assert.deepEqual(Object.values(presence).map((p) => p.chan_info), [{ role: 'guest' }])

    assert.deepEqual(decode((await c.rpc('add', encode([1, 2]))).data), { sum: 3 })
    await assert.rejects(c.rpc('fly', encode({})), { code: 104, message: 'no such method' })
  })
}

test('a header that the SDK sends inside its connect', async (t) => {
  backend.answers.connect = (_, headers) => headers.authorization === 'Bearer x' ? { result: { user: 'bob' } } : { error: { code: 401, message: 'no' } }
  await connected(t, server.url, { headers: { Authorization: 'Bearer x', Cookie: 'sid=forged' } })
  assert.equal(backend.of('connect')[0].headers.cookie, undefined)
  const other = client(t, server.url)
  const end = next(other, 'disconnected')
  other.connect()
  assert.equal((await end).code, 401)
})

test('the backend prolongs a connection, and then does not', async (t) => {
  backend.answers.connect = () => ({ result: { user: 'ann', expire_at: now() + 2 } })
  let asked = 0
  backend.answers.refresh = ({ user }) => {
    assert.equal(user, 'ann')
    return asked++ === 0 ? { result: { expire_at: now() + 2 } } : { result: { expired: true } }
  }
  const c = await connected(t, server.url)
  let lost = 0
  c.on('connecting', ({ code }) => { lost = code })
  await until('it was asked', () => asked === 1)
  assert.equal(lost, 0)
  backend.answers.connect = () => ({ disconnect: { code: 4502, reason: 'over' } })
  const end = next(c, 'disconnected')
  assert.equal((await end).code, 4502)
  assert.equal(lost, 3005)
  assert.equal(asked, 2)
})

test('the backend prolongs a subscription, and then does not', async (t) => {
  backend.answers.subscribe = () => ({ result: { expire_at: now() + 1 } })
  let asked = 0
  backend.answers.sub_refresh = () => asked++ === 0 ? { result: { expire_at: now() + 1 } } : { result: { expired: true } }
  const c = await connected(t, server.url)
  const sub = await subscribed(c, unique('hook'))
  await until('it was asked', () => asked === 1)
  backend.answers.subscribe = () => ({ error: { code: 410, message: 'over' } })
  const end = next(sub, 'unsubscribed')
  assert.equal((await end).code, 410)
  assert.equal(asked, 2)
  assert.equal(c.state, 'connected')
})

test('a backend that is away for a moment is waited for', async (t) => {
  let failures = 2
  const down = (answer) => (body) => failures-- > 0 ? undefined : answer(body)
  backend.answers.connect = down(() => ({ result: { user: 'ann' } }))
  const c = await connected(t, server.url)
  failures = 2
  backend.answers.subscribe = down(() => ({ result: {} }))
  await subscribed(c, unique('hook'), { minResubscribeDelay: 20, maxResubscribeDelay: 100 })
  assert.ok(failures < 0)
})

test('a Pusher client is asked about where it subscribes', async (t) => {
  const names = [pusher.unique('hook-'), pusher.unique('hook-')]
  backend.answers.subscribe = ({ channel }) => channel === names[0] ? { result: {} } : { error: { code: 403, message: 'not yours' } }
  const p = await pusher.connected(t, server)
  const channel = await pusher.subscribed(p, names[0])
  await server.api('publish', { channel: names[0], data: 'x', event: 'news' })
  await until('the event is there', () => channel.events.length === 1)
  const [told] = [await pusher.next(p.subscribe(names[1]), 'pusher:subscription_error')].flat()
  assert.deepEqual([told.status, told.error], [403, 'not yours'])
  assert.deepEqual([backend.of('connect').length, backend.of('subscribe').map((c) => c.body.channel)], [0, names])
})

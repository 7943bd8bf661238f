// pusher-js against the server, over WebSocket and what it falls back to.
import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import { WebSocket } from 'ws'
import * as cf from './lib/client.mjs'
import { config } from './lib/config.mjs'
import { app, connected, next, pusher, sign, state, subscribed, transports, unique } from './lib/pusher.mjs'
import { Server } from './lib/server.mjs'
import { token } from './lib/token.mjs'

const open = {
  allow_subscribe_for_client: true, allow_subscribe_for_anonymous: true,
  allow_publish_for_client: true, allow_publish_for_anonymous: true
}

let server
before(async () => {
  server = await Server.start({
    ...config,
    app,
    pusher: { client_events: true, subscription_count: true, client_event_rate: 5 },
    channel: {
      without_namespace: open,
      namespaces: [{ name: 'shut', prefixes: ['shut-'] }, { name: 'kept', prefixes: ['kept-'], ...open, history_size: 100, history_ttl: '1h', force_recovery: true }]
    }
  })
})
after(() => server.remove())

const publish = (channel, data, event) => server.api('publish', { channel, data, event: event ?? '' })

for (const [via, transport] of Object.entries(transports)) {
  test(`${via}: a public channel brings what a backend publishes`, async (t) => {
    const p = await connected(t, server, { transport })
    assert.match(p.connection.socket_id, /^\d+\.\d+$/)
    const channel = await subscribed(p, unique('room-'))
    await publish(channel.name, { usd: 3 }, 'price')
    await publish(channel.name, 'text', 'note')
    await publish(channel.name, [1])
    await cf.until('three events', () => channel.events.length === 3)
    assert.deepEqual(channel.events, [
      { event: 'price', data: { usd: 3 } }, { event: 'note', data: 'text' }, { event: 'message', data: [1] }
    ])
    p.unsubscribe(channel.name)
    const other = await subscribed(p, unique('room-'))
    await publish(channel.name, 'late')
    await publish(other.name, 'seen')
    await cf.until('the other event', () => other.events.length === 1)
    assert.equal(channel.events.length, 3)
  })

  test(`${via}: a namespace that allows nothing is shut, by prefix`, async (t) => {
    const p = await connected(t, server, { transport })
    await assert.rejects(subscribed(p, unique('shut-')), /not open to this client/)
  })

  test(`${via}: private and encrypted channels want a signature`, async (t) => {
    const p = await connected(t, server, { transport })
    const channel = await subscribed(p, unique('private-'))
    const seen = next(channel, 'e')
    await publish(channel.name, { n: 1 }, 'e')
    assert.deepEqual((await seen)[0], { n: 1 })

    const forged = await connected(t, server, {
      transport,
      channelAuthorization: { customHandler: (_, callback) => callback(null, { auth: `${app.key}:${sign('x')}`, channel_data: '{"user_id":"eve"}' }) }
    })
    await assert.rejects(subscribed(forged, unique('private-')), /signature/)
    await assert.rejects(subscribed(forged, unique('presence-')), /signature/)
  })

  test(`${via}: members are told of once for each user`, async (t) => {
    const name = unique('presence-')
    const ann = await subscribed(await connected(t, server, { transport, who: { user_id: 'ann', user_info: { n: 'Ann' } } }), name)
    assert.equal(ann.members.count, 1)
    assert.deepEqual(ann.members.me, { id: 'ann', info: { n: 'Ann' } })
    const seen = []
    ann.bind('pusher:member_added', (m) => seen.push(`+${m.id}`))
    ann.bind('pusher:member_removed', (m) => seen.push(`-${m.id}`))

    const phone = await connected(t, server, { transport, who: { user_id: 'bob' } })
    const laptop = await connected(t, server, { transport, who: { user_id: 'bob' } })
    assert.equal((await subscribed(phone, name)).members.count, 2)
    const bob = await subscribed(laptop, name)
    assert.equal(bob.members.count, 2)
    phone.disconnect()

    // Somebody of another protocol counts like anybody else.
    const carol = await cf.connected(t, server.url, { token: token({ sub: 'carol' }) })
    const sub = await cf.subscribed(carol, name, { token: token({ sub: 'carol', channel: name }) })
    await cf.until('carol is there', () => seen.includes('+carol'))
    assert.deepEqual(Object.values((await sub.presence()).clients).map((c) => c.user).filter((u, i, all) => all.indexOf(u) === i).sort(), ['ann', 'bob', 'carol'])
    carol.disconnect()
    laptop.disconnect()
    await cf.until('bob has left', () => seen.includes('-bob') && seen.includes('-carol'))
    assert.deepEqual(seen.filter((s) => s.endsWith('bob')), ['+bob', '-bob'])
    assert.equal(ann.members.count, 1)
  })

  test(`${via}: client events reach the others, not their sender`, async (t) => {
    const name = unique('presence-')
    const ann = await subscribed(await connected(t, server, { transport, who: { user_id: 'ann' } }), name)
    const bob = await subscribed(await connected(t, server, { transport, who: { user_id: 'bob' } }), name)
    const told = next(bob, 'client-typing')
    ann.trigger('client-typing', { n: 1 })
    const [data, meta] = await told
    assert.deepEqual([data, meta], [{ n: 1 }, { user_id: 'ann' }])
    const answer = next(ann, 'client-typing')
    bob.trigger('client-typing', { n: 2 })
    assert.equal((await answer)[1].user_id, 'bob')
    assert.deepEqual(ann.events, [{ event: 'client-typing', data: { n: 2 } }])
  })

  test(`${via}: client events are refused on public channels, and when they come too fast`, async (t) => {
    const p = await connected(t, server, { transport })
    const room = await subscribed(p, unique('room-'))
    room.trigger('client-x', {})
    await cf.until('an error', () => p.errors.length > 0)
    assert.match(p.errors[0].data.message, /private and presence/)
    const channel = await subscribed(p, unique('private-'))
    for (let i = 0; i < 10; i++) channel.trigger('client-x', { i })
    await cf.until('4301', () => p.errors.some((e) => e.data?.code === 4301))
    assert.equal(p.connection.state, 'connected')
  })

  test(`${via}: a cache channel begins with what it keeps`, async (t) => {
    const name = unique('private-cache-')
    const p = await connected(t, server, { transport })
    const channel = p.subscribe(name)
    await next(channel, 'pusher:cache_miss')
    await publish(name, { v: 1 }, 'value')
    await publish(name, { v: 2 }, 'value')
    const late = await connected(t, server, { transport })
    const kept = await subscribed(late, name)
    await cf.until('the kept event', () => kept.events.length > 0)
    assert.deepEqual(kept.events, [{ event: 'value', data: { v: 2 } }])
    await publish(name, { v: 3 }, 'value')
    await cf.until('the next event', () => kept.events.length > 1)
    assert.deepEqual(kept.events[1].data, { v: 3 })
  })

  test(`${via}: a user signs in, is sent what is for them, and sees who of a watchlist is there`, async (t) => {
    const ann = await connected(t, server, { transport, signin: { id: 'ann-1', user_info: { n: 'Ann' }, watchlist: ['bob-1', 'carol-1'] } })
    const seen = []
    ann.user.watchlist.bind('online', (e) => seen.push(...e.user_ids.map((u) => `+${u}`)))
    ann.user.watchlist.bind('offline', (e) => seen.push(...e.user_ids.map((u) => `-${u}`)))
    const bob = await connected(t, server, { transport, signin: { id: 'bob-1' } })
    bob.signin()
    await bob.user.signinDonePromise
    await next(bob.connection, 'message') // subscribed to the user's channel
    ann.signin()
    await ann.user.signinDonePromise
    assert.equal(ann.user.user_data.id, 'ann-1')
    await cf.until('bob is online', () => seen.includes('+bob-1'))
    await cf.until('the channel of ann', async () => (await server.api('channels', {})).channels['#server-to-user-ann-1'])
    const told = next(ann.user, 'note')
    await publish('#server-to-user-ann-1', { n: 1 }, 'note')
    assert.deepEqual(await told, { n: 1 })
    bob.disconnect()
    await cf.until('bob is offline', () => seen.includes('-bob-1')) // who polls is missed after ten seconds

    const nosy = await connected(t, server, { transport })
    nosy.send_event('pusher:subscribe', { channel: '#server-to-user-ann-1' })
    const refused = await next(nosy.connection, 'message')
    assert.deepEqual([refused.event, refused.data.status], ['pusher:subscription_error', 403])
  })

  test(`${via}: subscribers are told how many they are`, async (t) => {
    const name = unique('room-')
    const channel = await subscribed(await connected(t, server, { transport }), name)
    const other = await connected(t, server, { transport })
    await subscribed(other, name)
    await cf.until('two are counted', () => channel.subscriptionCount === 2)
    other.unsubscribe(name)
    await cf.until('one is counted', () => channel.subscriptionCount === 1)
  })

  test(`${via}: stays connected through pings, and is answered`, async (t) => {
    const p = await connected(t, server, { transport, activityTimeout: 1000, pongTimeout: 5000 })
    let answers = 0
    p.connection.connection.bind(via === 'websocket' ? 'pong' : 'activity', () => answers++)
    await cf.until('three pings were answered', () => answers >= 3)
    assert.equal(p.connection.state, 'connected')
  })

  test(`${via}: loses nothing where one response follows another`, async (t) => {
    const p = await connected(t, server, { transport })
    const channel = await subscribed(p, unique('room-'))
    const id = p.connection.socket_id
    const text = 'ü€🎉'.repeat(1500)
    const n = 60
    for (let i = 0; i < n; i++) {
      await publish(channel.name, { i, text })
      await cf.until('the client keeps up', () => channel.events.length > i - 4) // its outbox is small
    }
    await cf.until(`${n} events`, () => channel.events.length >= n)
    assert.deepEqual(channel.events.map((e) => e.data.i), [...Array(n).keys()])
    assert.ok(channel.events.every((e) => e.data.text === text))
    assert.equal(p.connection.socket_id, id)
  })

  test(`${via}: crosses protocols: one channel, both kinds of clients`, async (t) => {
    const name = unique('kept-')
    const c = await cf.connected(t, server.url, { token: token({ sub: 'ann' }) })
    const sub = await cf.subscribed(c, name)
    const channel = await subscribed(await connected(t, server, { transport }), name)
    for (let i = 0; i < 20; i++) await sub.publish({ i })
    await publish(name, { last: true }, 'done')
    await cf.received(sub, 21)
    await cf.until('all events', () => channel.events.length === 21)
    assert.deepEqual(channel.events.map((e) => e.data), sub.pubs.map((p) => p.data))
    assert.equal(sub.pubs[20].tags.event, 'done')
    assert.equal(channel.events[20].event, 'done')
  })

  test(`${via}: comes back after a graceful stop`, async (t) => {
    const own = await Server.start({ ...config, app, channel: { without_namespace: open } })
    t.after(() => own.remove())
    const p = await connected(t, own, { transport })
    const errors = []
    p.connection.bind('error', (e) => errors.push(e.error?.data?.code ?? e.data?.code))
    await own.stop()
    await cf.until('4200', () => errors.includes(4200))
  })
}

test('a sign-in that is not signed ends the connection for good', async () => {
  const socket = new WebSocket(`ws://${server.addr}/app/${app.key}?protocol=7`)
  await new Promise((resolve) => socket.once('message', resolve))
  socket.send(JSON.stringify({ event: 'pusher:signin', data: { auth: `${app.key}:00`, user_data: '{"id":"eve"}' } }))
  const [closed] = await new Promise((resolve) => socket.once('close', (...args) => resolve(args)))
  assert.equal(closed, 4009)
})

test('says why it does not serve a client', async (t) => {
  const refused = pusher(t, server, { key: 'nobody' })
  await state(refused, 'disconnected')
  assert.equal(refused.errors[0].data.code, 4001)
  for (const [query, code] of [['', 4008], ['?protocol=3', 4007], ['?protocol=7&version=a%20b', 4006]]) {
    const socket = new WebSocket(`ws://${server.addr}/app/${app.key}${query}`)
    const said = new Promise((resolve) => socket.once('message', resolve))
    const [closed] = await new Promise((resolve) => socket.once('close', (...args) => resolve(args)))
    assert.equal(closed, code)
    assert.equal(JSON.parse(await said).data.code, code)
  }
})

test('a guarded channel is shut to other protocols, too', async (t) => {
  const c = await cf.connected(t, server.url, { token: token({ sub: 'ann' }) })
  for (const prefix of ['private-', 'presence-', 'private-encrypted-', 'private-cache-', 'presence-cache-']) {
    const sub = cf.subscription(c, unique(prefix))
    const told = cf.next(sub, 'unsubscribed')
    sub.subscribe()
    assert.equal((await told).code, 103)
  }
})


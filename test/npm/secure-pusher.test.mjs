// pusher-js against a server as it is for others: a signature of the backend opens
// what is private, for whom and what it was made, and nothing else. Over each
// transport of pusher-js.
import assert from 'node:assert/strict'
import test, { after, before, describe } from 'node:test'
import Backend from 'pusher'
import * as cf from './lib/client.mjs'
import { app, connected, masterKey, next, sign, state, subscribed, transports, unique } from './lib/pusher.mjs'
import { Proxy } from './lib/proxy.mjs'
import { Server } from './lib/server.mjs'
import { token } from './lib/token.mjs'

const history = { history_size: 100, history_ttl: '1h', force_recovery: true }

const settings = {
  app,
  api: { key: 'npm' },
  pusher: { client_events: true },
  channel: {
    without_namespace: history, // and nobody may anything
    namespaces: [{ name: 'open', prefixes: ['open-'], allow_subscribe_for_client: true, allow_subscribe_for_anonymous: true }]
  }
}

describe('secure mode', { concurrency: true }, () => {
  for (const [name, transport] of Object.entries(transports)) describe(name, { concurrency: 4 }, () => suite(transport))
})

function suite(transport) {
  let server, backend
  before(async () => {
    server = await Server.start(settings)
    backend = library(server)
  })
  after(() => server.remove())

  const client = (t, options) => connected(t, server, { transport, ...options })
  const publish = (channel, data, event = 'e') => server.api('publish', { channel, data, event })
  // asked is the status that a subscribe is refused with. It is sent as it is: the
  // library itself would not send some of what is wrong.
  const asked = async (p, channel, how) => {
    const told = next(p.connection, 'message')
    p.send_event('pusher:subscribe', { channel, ...how })
    const { event, data } = await told
    return event === 'pusher:subscription_error' ? data.status : event
  }
  // signing answers pusher-js as a backend that signs whatever answer says.
  const signing = (answer) => ({ customHandler: (ask, callback) => callback(null, answer(ask)) })

  test('what no signature can open is what the namespace opens', async (t) => {
    const p = await client(t)
    await subscribed(p, unique('open-'))
    await assert.rejects(subscribed(p, unique('room-')), (e) => /403/.test(e.message))
  })

  test('a signature opens the channel that it was made for', async (t) => {
    const p = await client(t, { who: { user_id: 'ann', user_info: { n: 1 } } })
    for (const prefix of ['private-', 'presence-', 'private-encrypted-', 'private-cache-']) {
      const channel = p.subscribe(unique(prefix))
      await next(channel, 'pusher:subscription_succeeded')
    }
  })

  const sealed = (text, secret = app.secret, key = app.key) => ({ auth: `${key}:${sign(text, secret)}` })
  const forgeries = {
    'made with another secret': ({ socketId, channelName }) => sealed(`${socketId}:${channelName}`, 'another secret'),
    "of another app's key": ({ socketId, channelName }) => sealed(`${socketId}:${channelName}`, app.secret, 'other-key'),
    'of no app at all': ({ socketId, channelName }) => ({ auth: sign(`${socketId}:${channelName}`) }),
    'with an empty key': ({ socketId, channelName }) => sealed(`${socketId}:${channelName}`, app.secret, ''),
    'for another channel': ({ socketId, channelName }) => sealed(`${socketId}:${channelName}x`),
    'for another socket': ({ channelName }) => sealed(`1.1:${channelName}`),
    'of a sign-in': ({ socketId }) => sealed(`${socketId}::user::{"id":"ann"}`),
    'cut short': ({ socketId, channelName }) => ({ auth: sealed(`${socketId}:${channelName}`).auth.slice(0, -2) }),
    'longer by a digit': ({ socketId, channelName }) => ({ auth: sealed(`${socketId}:${channelName}`).auth + '0' }),
    'that is none': () => ({ auth: '' }),
    'with data that it does not cover': ({ socketId, channelName }) => ({ ...sealed(`${socketId}:${channelName}`), channel_data: '{"user_id":"eve"}' }),
    'with other data than it covers': ({ socketId, channelName }) => ({ ...sealed(`${socketId}:${channelName}:{"user_id":"ann"}`), channel_data: '{"user_id":"eve"}' })
  }
  for (const [how, forge] of Object.entries(forgeries)) {
    test(`a signature ${how} opens nothing`, async (t) => {
      const p = await client(t)
      for (const prefix of ['private-', 'presence-', 'private-encrypted-', 'presence-cache-']) {
        const name = unique(prefix)
        assert.equal(await asked(p, name, forge({ socketId: p.connection.socket_id, channelName: name })), 401, name)
        assert.equal((await server.api('channels', {})).channels[name], undefined, `${name} has a subscriber`)
      }
      assert.equal(p.connection.state, 'connected')
    })
  }

  test("a signature that was overheard opens nothing on another's connection", async (t) => {
    let overheard
    const name = unique('private-')
    const ann = await client(t, { channelAuthorization: signing(({ socketId, channelName }) => (overheard = sealed(`${socketId}:${channelName}`))) })
    await subscribed(ann, name)
    const eve = await client(t, { channelAuthorization: signing(() => overheard) })
    await assert.rejects(subscribed(eve, name), (e) => /401/.test(e.message))
  })

  test('members are who the backend says, and see only members', async (t) => {
    const name = unique('presence-')
    const ann = await subscribed(await client(t, { who: { user_id: 'ann', user_info: { role: 'host' } } }), name)
    const eve = await client(t)
    assert.equal(await asked(eve, name, { auth: `${app.key}:00`, channel_data: '{"user_id":"ann"}' }), 401)
    eve.send_event('client-typing', { forged: true }, name)
    const bob = await subscribed(await client(t, { who: { user_id: 'bob' } }), name)
    const told = next(ann, 'client-typing')
    bob.trigger('client-typing', { n: 1 })
    const [data, meta] = await told
    assert.deepEqual([data, meta], [{ n: 1 }, { user_id: 'bob' }])
    assert.deepEqual(Object.keys(bob.members.members).sort(), ['ann', 'bob'])
    assert.deepEqual(ann.events.filter((e) => e.data.forged), [])
  })

  test('who is signed in is a member as that, without data; who is not is nobody', async (t) => {
    const auth = { channelAuthorization: signing(({ socketId, channelName }) => sealed(`${socketId}:${channelName}`)) }
    const name = unique('presence-')
    const ann = await client(t, { signin: { id: 'ann', user_info: { n: 1 } }, ...auth })
    ann.signin()
    await ann.user.signinDonePromise
    assert.deepEqual((await subscribed(ann, name)).members.me, { id: 'ann', info: { n: 1 } })
    const guest = await client(t)
    assert.equal(await asked(guest, name, sealed(`${guest.connection.socket_id}:${name}`)), 401)
  })

  test('an encrypted channel is closed to client events, and the server knows only ciphertext', async (t) => {
    const name = unique('private-encrypted-')
    const channel = await subscribed(await client(t), name)
    const c = await cf.connected(t, server.url, { token: token({ sub: 'ann' }, app.secret) })
    const sub = await cf.subscribed(c, name, { token: token({ sub: 'ann', channel: name }, app.secret) })
    await backend.trigger(name, 'e', { text: 'nobody else reads this' })
    await cf.received(sub, 1)
    await cf.until('the event', () => channel.events.length > 0)
    assert.deepEqual(channel.events, [{ event: 'e', data: { text: 'nobody else reads this' } }])
    assert.deepEqual(Object.keys(sub.pubs[0].data).sort(), ['ciphertext', 'nonce'])
    assert.ok(!JSON.stringify(sub.pubs).includes('nobody else'))
    await assert.rejects(sub.publish({ nonce: '', ciphertext: '' }), { code: 103 })
  })

  for (const [how, forge] of Object.entries({
    'made with another secret': (socketId, data) => ({ auth: sealed(`${socketId}::user::${data}`, 'another secret').auth, user_data: data }),
    'for another socket': (_, data) => ({ auth: sealed(`1.1::user::${data}`).auth, user_data: data }),
    'for another user': (socketId, data) => ({ auth: sealed(`${socketId}::user::${data}`).auth, user_data: '{"id":"admin"}' }),
    'of a channel': (socketId, data) => ({ auth: sealed(`${socketId}:private-x:${data}`).auth, user_data: data })
  })) {
    test(`a sign-in with a signature ${how} ends the connection for good`, async (t) => {
      const p = await client(t, { userAuthentication: signing(({ socketId }) => forge(socketId, '{"id":"ann"}')) })
      p.signin()
      await state(p, 'disconnected')
      assert.ok(p.errors.some((e) => e.data?.code === 4009), JSON.stringify(p.errors))
      assert.equal((await server.api('channels', {})).channels['#server-to-user-admin'], undefined)
    })
  }

  test('a connection that is signed in stays that user', async (t) => {
    const users = ['ann', 'eve'].map((id) => JSON.stringify({ id }))
    const p = await client(t, { userAuthentication: signing(({ socketId }) => ({ auth: sealed(`${socketId}::user::${users[0]}`).auth, user_data: users[0] })) })
    p.signin()
    await p.user.signinDonePromise
    p.send_event('pusher:signin', { auth: sealed(`${p.connection.socket_id}::user::${users[1]}`).auth, user_data: users[1] })
    await state(p, 'disconnected')
    assert.ok(p.errors.some((e) => e.data?.code === 4009))
  })

  test("what is for a user reaches all of the user's connections, and nobody else", async (t) => {
    const id = unique('ann-')
    const mine = []
    for (const _ of [1, 2]) {
      const p = await client(t, { signin: { id } })
      p.signin()
      await p.user.signinDonePromise
      mine.push(p)
    }
    const eve = await client(t, { signin: { id: unique('eve-') } })
    eve.signin()
    await eve.user.signinDonePromise
    const channel = `#server-to-user-${id}`
    await cf.until('both are reached', async () => (await server.api('channels', {})).channels[channel]?.num_clients === 2)
    eve.send_event('pusher:subscribe', { channel })
    const heard = []
    eve.bind_global((event, data) => heard.push({ event, data }))
    eve.user.bind_global((event, data) => heard.push({ event, data }))
    const told = mine.map((p) => next(p.user, 'note'))
    await backend.sendToUser(id, 'note', { n: 1 })
    for (const note of told) assert.deepEqual(await note, { n: 1 })
    const own = next(eve.user, 'own')
    await cf.until('eve is reached', async () => {
      await backend.sendToUser(eve.user.user_data.id, 'own', {})
      return Promise.race([own.then(() => true), new Promise((resolve) => setTimeout(resolve, 20))])
    })
    assert.deepEqual(heard.filter((e) => e.event === 'note'), [])
  })

  test('a watchlist tells of those it names, and is bounded', async (t) => {
    const [bob, carol] = [unique('bob-'), unique('carol-')]
    const ann = await client(t, { signin: { id: unique('ann-'), watchlist: [bob] } })
    const seen = []
    for (const event of ['online', 'offline']) ann.user.watchlist.bind(event, (e) => seen.push(...e.user_ids.map((u) => `${event} ${u}`)))
    ann.signin()
    await ann.user.signinDonePromise
    for (const id of [carol, bob]) {
      const p = await client(t, { signin: { id } })
      p.signin()
      await p.user.signinDonePromise
      if (id === carol) p.disconnect()
      else {
        await cf.until('bob is online', () => seen.length > 0)
        p.disconnect()
      }
    }
    await cf.until('bob is offline', () => seen.length > 1) // who polls is missed after ten seconds
    assert.deepEqual(seen, [`online ${bob}`, `offline ${bob}`])

    const many = await client(t, { signin: { id: unique('ann-'), watchlist: Array.from({ length: 101 }, (_, i) => `u${i}`) } })
    many.signin()
    await many.user.signinDonePromise
    await cf.until('4302', () => many.errors.some((e) => e.data?.code === 4302))
    assert.equal(many.connection.state, 'connected')
  })

  test('a backend throws a user out, from everywhere and for good, and nobody else', async (t) => {
    const [ann, bob] = [unique('ann-'), unique('bob-')]
    const signedIn = async (id) => {
      const p = await client(t, { signin: { id } })
      p.signin()
      await p.user.signinDonePromise
      return p
    }
    const [phone, laptop, other] = [await signedIn(ann), await signedIn(ann), await signedIn(bob)]
    // As a member alone it is no connection of the user's: nobody vouched for that.
    const guest = await client(t, { who: { user_id: ann } })
    await subscribed(guest, unique('presence-'))
    await backend.terminateUserConnections(ann)
    for (const p of [phone, laptop]) {
      await state(p, 'disconnected')
      assert.ok(p.errors.some((e) => e.data?.code === 4009), JSON.stringify(p.errors))
    }
    await subscribed(guest, unique('private-'))
    await subscribed(other, unique('private-'))
  })

  test('signatures of a secret that is withdrawn open nothing after the restart', async (t) => {
    const own = await Server.start(settings)
    t.after(() => own.remove())
    const proxy = await Proxy.start(own.addr)
    t.after(() => proxy.close())
    const through = { addr: new URL(proxy.url).host }
    const [kept, lost] = [unique('private-'), unique('private-')]
    const secrets = { [kept]: app.secret, [lost]: app.secret }
    const auth = { channelAuthorization: signing(({ socketId, channelName }) => sealed(`${socketId}:${channelName}`, secrets[channelName])) }
    const p = await connected(t, through, { transport, ...auth })
    const [good, bad] = [await subscribed(p, kept), await subscribed(p, lost)]
    const ends = [next(good, 'pusher:subscription_succeeded'), next(bad, 'pusher:subscription_error')]
    // The one after it is there when it stops: pusher-js gives a transport up that
    // does not connect.
    const after = await Server.start({ ...settings, app: { ...app, secret: 'the next secret of npm' } })
    t.after(() => after.remove())
    secrets[kept] = 'the next secret of npm'
    proxy.target = after.addr
    await own.stop()
    await ends[0]
    assert.equal((await ends[1])[0].status, 401)
    await after.api('publish', { channel: lost, data: 'hidden', event: 'e' })
    await after.api('publish', { channel: kept, data: 'seen', event: 'e' })
    await cf.until('the event', () => good.events.length > 0)
    assert.deepEqual([good.events, bad.events], [[{ event: 'e', data: 'seen' }], []])
    await assert.rejects(library(after).trigger(kept, 'e', {}), (e) => e.status === 401)
  })
}

const library = ({ addr }) => {
  const [host, port] = addr.split(':')
  return new Backend({ appId: app.id, key: app.key, secret: app.secret, host, port, useTLS: false, encryptionMasterKeyBase64: masterKey.toString('base64') })
}

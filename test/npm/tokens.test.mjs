import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import { client, connected, next, received, subscribed, subscription, unique, until } from './lib/client.mjs'
import { config } from './lib/config.mjs'
import { Server } from './lib/server.mjs'
import { now, token } from './lib/token.mjs'

let server
before(async () => { server = await Server.start(config) })
after(() => server.remove())

test('a token says who the client is', async (t) => {
  const c = await connected(t, server.url, { token: token({ sub: 'ann', info: { name: 'Ann' } }) })
  const channel = unique('users')
  const sub = await subscribed(c, channel)
  const other = await subscribed(await connected(t, server.url, { token: token({ sub: 'bob' }) }), channel)
  await sub.publish('hello')
  const { info } = (await received(other, 1))[0]
  assert.equal(info.user, 'ann')
  assert.deepEqual(info.connInfo, { name: 'Ann' })
  const { presence } = await server.api('presence', { channel })
  assert.deepEqual(Object.values(presence).map((p) => p.user).sort(), ['ann', 'bob'])
})

test('a token opens what is shut for the anonymous', async (t) => {
  const anonymous = subscription(await connected(t, server.url), unique('users'))
  const refused = next(anonymous, 'unsubscribed')
  anonymous.subscribe()
  assert.equal((await refused).code, 103)
  await subscribed(await connected(t, server.url, { token: token({ sub: 'ann' }) }), unique('users'))
})

test('channels of the token are subscribed at once', async (t) => {
  const channel = unique('history')
  const c = client(t, server.url, { token: token({ sub: 'ann', channels: [channel] }) })
  const told = next(c, 'subscribed')
  const pub = next(c, 'publication')
  c.connect()
  assert.equal((await told).channel, channel)
  await server.api('publish', { channel, data: 1 })
  assert.equal((await pub).data, 1)
})

const invalid = {
  'signed by another': token({ sub: 'ann' }, 'another secret'),
  'no token at all': 'abc',
  'not valid yet': token({ sub: 'ann', nbf: now() + 3600 }),
  'without signature': `${Buffer.from('{"alg":"none"}').toString('base64url')}.${Buffer.from('{"sub":"ann"}').toString('base64url')}.`
}
for (const [how, bad] of Object.entries(invalid)) {
  test(`an invalid token ends the connection for good: ${how}`, async (t) => {
    const c = client(t, server.url, { token: bad })
    const end = next(c, 'disconnected')
    c.connect()
    assert.equal((await end).code, 3500)
  })
}

test('an expired token is replaced', async (t) => {
  let asked = 0
  const c = client(t, server.url, {
    token: token({ sub: 'ann', exp: now() - 10 }),
    getToken: async () => { asked++; return token({ sub: 'ann', exp: now() + 60 }) }
  })
  c.connect()
  await c.ready(5000)
  assert.equal(asked, 1)
})

test('a token that runs out is refreshed in time, and the connection stays', async (t) => {
  let asked = 0
  let lost = 0
  const c = await connected(t, server.url, {
    token: token({ sub: 'ann', exp: now() + 2 }),
    getToken: async () => { asked++; return token({ sub: 'ann', exp: now() + 3600 }) }
  })
  c.on('connecting', () => lost++)
  const sub = await subscribed(c, unique('users'))
  await until('a new token was asked for', () => asked === 1)
  await sub.publish('still here')
  await received(sub, 1)
  assert.equal(lost, 0)
})

test('a backend that gives no token any more ends the client', async (t) => {
  const c = client(t, server.url, { token: token({ sub: 'ann', exp: now() - 10 }), getToken: async () => null })
  const end = next(c, 'disconnected')
  c.connect()
  assert.equal((await end).code, 1) // the SDK's own: unauthorized
})

test('a private channel needs a subscription token', async (t) => {
  const channel = '$' + unique('users')
  const options = (user) => ({ token: token({ sub: user }) })
  const sub = subscription(await connected(t, server.url, options('ann')), channel)
  const refused = next(sub, 'unsubscribed')
  sub.subscribe()
  assert.equal((await refused).code, 103)

  const getToken = async (ctx) => token({ sub: 'ann', channel: ctx.channel, info: { role: 'member' } })
  const mine = await subscribed(await connected(t, server.url, options('ann')), channel, { getToken })
  await server.api('publish', { channel, data: 'secret' })
  await received(mine, 1)
  const { presence } = await server.api('presence', { channel })
  assert.deepEqual(Object.values(presence).map((p) => p.chan_info), [{ role: 'member' }])

  for (const [how, claims] of Object.entries({
    'of another user': { sub: 'bob', channel }, 'for another channel': { sub: 'ann', channel: channel + 'x' }, 'of no channel': { sub: 'ann' }
  })) {
    const c = await connected(t, server.url, options('ann'))
    const other = subscription(c, channel, { token: token(claims) })
    const told = next(other, 'unsubscribed')
    other.subscribe()
    assert.equal((await told).code, 103, how)
  }
})

test('a subscription token that runs out is refreshed in time', async (t) => {
  let asked = 0
  const c = await connected(t, server.url, { token: token({ sub: 'ann' }) })
  const channel = '$' + unique('users')
  const sub = await subscribed(c, channel, {
    getToken: async (ctx) => token({ sub: 'ann', channel: ctx.channel, exp: now() + (asked++ === 0 ? 2 : 3600) })
  })
  await until('a new token was asked for', () => asked === 2)
  await server.api('publish', { channel, data: 1 })
  await received(sub, 1)
  assert.equal(sub.states.length, 1)
})

test('without --dev and anonymous clients a token is asked for', async (t) => {
  const own = await Server.start({ app: config.app, api: config.api })
  t.after(() => own.remove())
  const c = client(t, own.url)
  const refused = next(c, 'disconnected')
  c.connect()
  const { code } = await refused
  assert.ok(code === 101 || code === 3501 || code === 1, `code ${code}`)
  const ann = await connected(t, own.url, { token: token({ sub: 'ann' }) })
  const sub = subscription(ann, 'anything')
  const shut = next(sub, 'unsubscribed')
  sub.subscribe()
  assert.equal((await shut).code, 103)
})

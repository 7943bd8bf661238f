// A server as it is for others: no dev mode, nobody anonymous, everything shut but
// what a token, an option or the backend opens. Over each way that an SDK connects.
import assert from 'node:assert/strict'
import test, { after, before, describe } from 'node:test'
import { UnauthorizedError } from 'centrifuge'
import { client as make, next, received, subscribed, subscription, TIMEOUT, unique, until, ways } from './lib/client.mjs'
import { secret } from './lib/config.mjs'
import { Proxy } from './lib/proxy.mjs'
import { Server } from './lib/server.mjs'
import { now, token } from './lib/token.mjs'

const history = { history_size: 100, history_ttl: '1h', force_recovery: true }

// What one namespace each opens: the flags of Centrifugo, alone and together with
// what they widen.
const flags = [[], ['subscribe_for_client'], ['subscribe_for_client', 'subscribe_for_anonymous'], ['subscribe_for_anonymous']]
for (const op of ['publish', 'presence', 'history']) {
  for (const who of [['client'], ['subscriber'], ['client', 'anonymous'], ['subscriber', 'anonymous'], ['anonymous']]) flags.push(who.map((w) => `${op}_for_${w}`))
}
const flagged = flags.map((set, i) => ({
  name: `flags${i}`, ...history, history_durability: 'memory', presence: true, ...Object.fromEntries(set.map((f) => [`allow_${f}`, true]))
}))

const settings = {
  app: { secret },
  api: { key: 'npm' },
  tokens: { leeway: '0s' },
  channel: {
    without_namespace: { ...history, allow_user_limited_channels: true },
    namespaces: [
      { name: 'open', ...history, allow_subscribe_for_client: true },
      { name: 'team', ...history, presence: true, allow_user_limited_channels: true, allow_subscribe_for_client: true, allow_publish_for_subscriber: true },
      { name: 'shut', ...history, presence: true },
      ...flagged
    ]
  }
}

// soon is when a token ends that a test that runs slowly still has time to connect with.
const soon = () => now() + 5

// patient is a client that a test that runs slowly does not make think that the server is
// gone: what is cut here is cut by the server.
const patient = (t, url, options) => make(t, url, { maxServerPingDelay: 10_000, ...options })

// refused wants a subscription to be refused, or to end, with a code.
async function refused(sub, code) {
  const told = next(sub, 'unsubscribed')
  sub.subscribe()
  const got = await told
  assert.equal(got.code, code, `${sub.channel}: ${got.reason}`)
}

describe('secure mode', { concurrency: true }, () => {
  for (const [name, way] of Object.entries(ways)) describe(name, { concurrency: 4 }, () => suite(way))
  describe('grace', { concurrency: true }, grace)
})

function suite(way) {
  let server
  before(async () => { server = await Server.start(settings) })
  after(() => server.remove())

  const client = (t, { addr = server.addr, user, claims, ...options } = {}) => {
    const { url, ...more } = way(addr)
    return patient(t, url, { ...more, ...(user !== undefined && { token: token({ sub: user, ...claims }) }), ...options })
  }
  async function connected(t, options) {
    const c = client(t, options)
    // What the client is told of what it did not subscribe to itself.
    Object.assign(c, { told: [], pubs: [], lost: [] })
    for (const event of ['subscribed', 'unsubscribed']) c.on(event, (ctx) => c.told.push({ event, ...ctx }))
    c.on('publication', (ctx) => c.pubs.push(ctx))
    c.on('connecting', (ctx) => c.lost.push(ctx.code))
    const up = next(c, 'connected')
    c.connect()
    c.id = (await up).client
    c.lost = []
    return c
  }
  const publish = (channel, data) => server.api('publish', { channel, data })

  test('nobody is let in without a token', async (t) => {
    const own = await Server.start(settings)
    t.after(() => own.remove())
    const c = client(t, { addr: own.addr })
    const end = next(c, 'disconnected')
    c.connect()
    assert.equal((await end).code, 101)
    await until('nobody is there', async () => (await own.api('info')).nodes[0].num_clients === 0)
  })

  test('a token that runs out is replaced before anybody notices', async (t) => {
    const given = []
    const getToken = async () => { given.push(now()); return token({ sub: 'ann', exp: given.length < 3 ? soon() : now() + 3600 }) }
    const c = await connected(t, { getToken })
    const sub = await subscribed(c, unique('open'))
    await until('three tokens', () => given.length === 3)
    await publish(sub.channel, 'still here')
    await received(sub, 1)
    assert.deepEqual([c.lost, sub.states.length], [[], 1])
  })

  test('a backend that refuses another token ends the client', async (t) => {
    const c = await connected(t, { user: 'ann', claims: { exp: soon() }, getToken: async () => { throw new UnauthorizedError('') } })
    assert.equal((await next(c, 'disconnected')).code, 1)
  })

  for (const [how, bad, code] of [
    ["another user's", () => token({ sub: 'eve', exp: now() + 60 }), 3500],
    ['one that is signed by another', () => token({ sub: 'ann', exp: now() + 60 }, 'another secret'), 3500],
    ['a subscription token', () => token({ sub: 'ann', channel: 'open:x', exp: now() + 60 }), 3500]
  ]) {
    test(`a new token that is ${how} ends the client`, async (t) => {
      const c = await connected(t, { user: 'ann', claims: { exp: soon() }, getToken: async () => bad() })
      assert.equal((await next(c, 'disconnected')).code, code)
    })
  }

  test('a new token that has run out does not prolong, and the next one brings it back', async (t) => {
    const tokens = [() => token({ sub: 'ann', exp: now() - 60 }), () => token({ sub: 'ann', exp: now() + 3600 })]
    let asked = 0
    const c = await connected(t, { user: 'ann', claims: { exp: soon() }, getToken: async () => tokens[Math.min(asked++, 1)]() })
    const sub = await subscribed(c, unique('open'))
    assert.equal((await next(c, 'connecting')).code, 3005)
    await publish(sub.channel, 'meanwhile')
    await received(sub, 1)
    assert.ok(asked >= 2)
  })

  test('a token of a key that is withdrawn opens nothing after the restart', async (t) => {
    const own = await Server.start({ ...settings, tokens: { previous_secret: 'the one before' } })
    t.after(() => own.remove())
    const proxy = await Proxy.start(own.addr)
    t.after(() => proxy.close())
    const addr = new URL(proxy.url).host
    const old = (claims) => token({ sub: 'ann', ...claims }, 'the one before')
    const channel = unique('$shut')
    const stays = await connected(t, { addr, user: 'bob' })
    const kept = await subscribed(stays, channel, { token: token({ sub: 'bob', channel }) })
    const away = await subscribed(stays, channel + '-2', { token: token({ sub: 'bob', channel: channel + '-2' }, 'the one before') })
    const goes = await connected(t, { addr, token: old() })
    await subscribed(goes, channel, { token: old({ channel }) })
    const [end, left] = [next(goes, 'disconnected'), next(away, 'unsubscribed')]
    await own.stop()
    own.configure(settings)
    await own.up()
    proxy.target = own.addr
    assert.equal((await end).code, 3500)
    assert.equal((await left).code, 103)
    await kept.ready(TIMEOUT)
    assert.deepEqual(Object.values((await own.api('presence', { channel })).presence).map((p) => p.user), ['bob'])
  })

  test('a subscription token that runs out is replaced before anybody notices', async (t) => {
    const c = await connected(t, { user: 'ann' })
    const channel = unique('$shut')
    let asked = 0
    const sub = await subscribed(c, channel, { getToken: async () => token({ sub: 'ann', channel, exp: asked++ < 2 ? soon() : now() + 3600 }) })
    await until('three tokens', () => asked === 3)
    await publish(channel, 1)
    await received(sub, 1)
    assert.equal(sub.states.length, 1)
  })

  for (const [how, bad, code] of [
    ['is refused', () => { throw new UnauthorizedError('') }, 1],
    ["is another user's", (channel) => token({ sub: 'eve', channel }), 103],
    ['is for another channel', (channel) => token({ sub: 'ann', channel: channel + 'x' }), 103],
    ['is a connection token', () => token({ sub: 'ann' }), 103],
    ['is for another session', (channel) => token({ sub: 'ann', channel, client: 'x' }), 103],
    ['is signed by another', (channel) => token({ sub: 'ann', channel }, 'another secret'), 103]
  ]) {
    test(`a subscription ends where the new token ${how}, and the client goes on`, async (t) => {
      const c = await connected(t, { user: 'ann' })
      const channel = unique('$shut')
      let asked = 0
      const sub = subscription(c, channel, { getToken: async () => asked++ === 0 ? token({ sub: 'ann', channel, exp: soon() }) : bad(channel) })
      await refused(sub, code)
      assert.equal(sub.states.length, 1)
      const other = await subscribed(c, unique('open'))
      await publish(channel, 'not for ann any more')
      await publish(other.channel, 'seen')
      await received(other, 1)
      assert.deepEqual([sub.pubs, c.lost], [[], []])
    })
  }

  test('a backend ends a subscription, and it does not come back', async (t) => {
    const user = unique('ann')
    const proxy = await Proxy.start(server.addr)
    t.after(() => proxy.close())
    const c = await connected(t, { user, addr: new URL(proxy.url).host })
    const [sub, other] = [await subscribed(c, unique('open')), await subscribed(c, unique('open'))]
    const told = next(sub, 'unsubscribed')
    await server.api('unsubscribe', { user, channel: sub.channel })
    assert.equal((await told).code, 2000)
    const back = next(c, 'connected')
    proxy.cut()
    proxy.mend()
    await back
    await publish(sub.channel, 'gone')
    await publish(other.channel, 'seen')
    await received(other, 1)
    assert.deepEqual([sub.pubs, sub.state], [[], 'unsubscribed'])
  })

  test('a backend ends connections: one for a while, all for good', async (t) => {
    const user = unique('ann')
    const [a, b, bystander] = [await connected(t, { user }), await connected(t, { user }), await connected(t, { user: unique('bob') })]
    const back = next(a, 'connected')
    await server.api('disconnect', { user, client: a.id, disconnect: { code: 4100, reason: 'come back' } })
    await back
    assert.deepEqual([a.lost, b.lost], [[4100], []])
    const ends = [a, b].map((c) => next(c, 'disconnected'))
    await server.api('disconnect', { user })
    for (const end of ends) assert.equal((await end).code, 3503)
    assert.deepEqual([bystander.state, bystander.lost], ['connected', []])
  })

  test('a backend has a user come back with a new token', async (t) => {
    const user = unique('ann')
    const c = await connected(t, { token: token({ sub: user, exp: now() + 10 }), getToken: async () => { throw new UnauthorizedError('') } })
    const told = next(c, 'connecting')
    await server.api('refresh', { user, expired: true })
    assert.equal((await told).code, 3005)
    // Its token is good until it ends, and then the backend says no.
    assert.equal((await next(c, 'disconnected')).code, 1)
  })

  test('denials of a token hold against options and subscription tokens', async (t) => {
    const room = unique('open')
    const caps = [{ channels: [room], match: 'prefix', deny: ['sub', 'pub', 'hst', 'prs'] }, { channels: ['shut:*'], match: 'wildcard', allow: ['sub', 'pub', 'hst', 'prs'] }]
    const c = await connected(t, { user: 'ann', claims: { caps } })
    await refused(subscription(c, room), 103)
    await refused(subscription(c, room + '-1', { token: token({ sub: 'ann', channel: room + '-1' }) }), 103)
    await assert.rejects(c.publish(room, 1), { code: 103 })
    const granted = await subscribed(c, unique('shut'))
    await granted.publish('mine')
    await received(granted, 1)
    assert.equal((await granted.history({ limit: 10 })).publications.length, 1)
    assert.equal(Object.keys((await granted.presence()).clients).length, 1)
    for (const name of ['$' + granted.channel, granted.channel + '#bob', unique('open') + '#bob']) await refused(subscription(c, name), 103)
  })

  test('a channel that lists users is shut to everybody else, whatever is open', async (t) => {
    const channel = `${unique('team')}#ann,bob`
    const [ann, eve] = [await connected(t, { user: 'ann' }), await connected(t, { user: 'eve' })]
    const sub = await subscribed(ann, channel)
    await refused(subscription(eve, channel), 103)
    await assert.rejects(eve.publish(channel, 'forged'), { code: 103 })
    await sub.publish('hello')
    await received(sub, 1)
    for (const near of [channel + '2', channel.replace('#ann', '#anna'), channel.replace(',bob', '')]) await refused(subscription(eve, near), 103)
    await refused(subscription(await connected(t, { user: '' }), channel), 103)
  })

  test("a user's personal channel reaches all that the user has open, and nobody else", async (t) => {
    const user = unique('ann').replace(':', '-')
    const proxy = await Proxy.start(server.addr)
    t.after(() => proxy.close())
    const channel = '#' + user
    const phone = await connected(t, { user, claims: { channels: [channel] }, addr: new URL(proxy.url).host })
    const laptop = await subscribed(await connected(t, { user }), channel)
    const eve = await connected(t, { user: 'eve' })
    await refused(subscription(eve, channel), 103)
    await refused(subscription(await connected(t, { user: '' }), '#'), 103)
    await assert.rejects(eve.publish(channel, 'forged'), { code: 103 })
    await publish(channel, 1)
    await until('the first', () => phone.pubs.length === 1)
    const back = next(phone, 'connected')
    proxy.cut()
    await publish(channel, 2)
    proxy.mend()
    await back
    await publish(channel, 3)
    await until('what was missed', () => phone.pubs.length === 3)
    await received(laptop, 3)
    assert.deepEqual([phone.pubs, laptop.pubs].map((all) => all.map((p) => p.data)), [[1, 2, 3], [1, 2, 3]])
    assert.deepEqual(phone.told.filter((s) => s.event === 'subscribed').map((s) => [s.channel, s.recovered]), [[channel, false], [channel, true]])
  })

  test('what the server subscribes comes back with the token that says so, and not without', async (t) => {
    const user = unique('ann')
    const proxy = await Proxy.start(server.addr)
    t.after(() => proxy.close())
    const [kept, dropped, asked] = [unique('shut'), unique('shut'), unique('shut')]
    const c = await connected(t, { user, claims: { channels: [kept, dropped, 'nowhere:x'] }, addr: new URL(proxy.url).host })
    assert.deepEqual(Object.keys((await server.api('presence', { channel: kept })).presence), [c.id])
    await server.api('subscribe', { user, channel: asked })
    for (const channel of [kept, dropped, asked]) await publish(channel, 1)
    await until('one of each', () => c.pubs.length === 3)
    await server.api('unsubscribe', { user, channel: asked })
    await until('the end of one', () => c.told.some((s) => s.event === 'unsubscribed' && s.channel === asked))
    await publish(asked, 'gone')

    c.setToken(token({ sub: user, channels: [kept] }))
    const back = next(c, 'connected')
    proxy.cut()
    for (const channel of [kept, dropped]) await publish(channel, 2)
    proxy.mend()
    await back
    for (const channel of [dropped, kept]) await publish(channel, 3)
    await until('the last', () => c.pubs.some((p) => p.channel === kept && p.data === 3))
    const of = (channel) => c.pubs.filter((p) => p.channel === channel).map((p) => p.data)
    assert.deepEqual([of(kept), of(dropped), of(asked)], [[1, 2, 3], [1], [1]])
    assert.deepEqual(c.told.filter((s) => s.event === 'unsubscribed').map((s) => s.channel), [asked, dropped])
  })

  for (const [i, set] of flags.entries()) {
    test(`options: ${set.join(', ') || 'none'}`, async (t) => {
      for (const user of ['ann', '']) {
        const channel = unique(`flags${i}`)
        const c = await connected(t, { user })
        const ops = {
          publish: () => c.publish(channel, 1), presence: () => c.presence(channel), history: () => c.history(channel, { limit: 1 }),
          subscribe: async () => {
            const sub = subscription(c, channel)
            sub.subscribe()
            await sub.ready(TIMEOUT)
          }
        }
        const check = async (op, subscribed) => {
          const has = (who) => set.includes(`${op}_for_${who}`)
          const may = (has('client') || subscribed && has('subscriber')) && (user !== '' || has('anonymous'))
          const got = await ops[op]().then(() => true, () => false)
          assert.equal(got, may, `${op} by ${user || 'a user without a name'}, ${subscribed ? 'subscribed' : 'not subscribed'}`)
        }
        for (const op of ['publish', 'presence', 'history', 'subscribe']) await check(op, false)
        const sub = c.getSubscription(channel)
        if (sub) {
          sub.unsubscribe()
          c.removeSubscription(sub)
        }
        await subscribed(c, channel, { token: token({ sub: user, channel }) })
        for (const op of ['publish', 'presence', 'history']) await check(op, true)
      }
    })
  }
}

// For 25 seconds the server waits for a token that a tab in the background is slow
// to bring. Nothing of it can be made shorter, so all of these wait at once.
function grace() {
  const GRACE = 40_000
  let server
  before(async () => { server = await Server.start(settings) })
  after(() => server.remove())

  for (const [name, way] of Object.entries(ways)) {
    // A token source that cannot be reached until it is let.
    const source = (first, later) => {
      let asked = 0
      const getToken = async () => {
        if (asked++ === 0) return first
        if (!getToken.reachable) throw new Error('the backend cannot be reached')
        return later()
      }
      return getToken
    }

    test(`${name}: a session outlives its token for a while, then ends, and resumes with a new one`, async (t) => {
      const exp = soon()
      const getToken = source(token({ sub: 'ann', exp }), () => token({ sub: 'ann', exp: now() + 3600 }))
      const { url, ...more } = way(server.addr)
      const c = patient(t, url, { ...more, getToken })
      const lost = []
      c.once('connected', () => c.on('connecting', (ctx) => { lost.push(ctx.code); getToken.reachable = true }))
      c.connect()
      const sub = await subscribed(c, unique('open'))
      await until('the token has ended', () => now() > exp + 3)
      await server.api('publish', { channel: sub.channel, data: 1 })
      await received(sub, 1)
      assert.deepEqual(lost, [])
      await until('the session ends', () => lost.length > 0, GRACE)
      await server.api('publish', { channel: sub.channel, data: 2 })
      await received(sub, 2)
      assert.deepEqual([lost, sub.pubs.map((p) => p.data), getToken.reachable], [[3005], [1, 2], true])
    })

    test(`${name}: a token that comes late, as from a tab in the background, comes in time`, async (t) => {
      const exp = soon()
      const getToken = source(token({ sub: 'ann', exp }), () => token({ sub: 'ann', exp: now() + 3600 }))
      const { url, ...more } = way(server.addr)
      const c = patient(t, url, { ...more, getToken })
      const lost = []
      c.once('connected', () => c.on('connecting', (ctx) => lost.push(ctx.code)))
      c.connect()
      const sub = await subscribed(c, unique('open'))
      await until('the token has ended', () => now() > exp + 3)
      getToken.reachable = true
      await until('a session without a new token would have ended', () => now() > exp + 28, GRACE)
      await server.api('publish', { channel: sub.channel, data: 1 })
      await received(sub, 1)
      assert.deepEqual([lost, sub.states.length], [[], 1])
    })

    test(`${name}: a subscription outlives its token for a while, then ends, and resumes with a new one`, async (t) => {
      const exp = soon()
      const channel = unique('$shut')
      const getToken = source(token({ sub: 'ann', channel, exp }), () => token({ sub: 'ann', channel, exp: now() + 3600 }))
      const { url, ...more } = way(server.addr)
      const c = patient(t, url, { ...more, token: token({ sub: 'ann' }) })
      const lost = []
      c.once('connected', () => c.on('connecting', (ctx) => lost.push(ctx.code)))
      c.connect()
      const sub = await subscribed(c, channel, { getToken })
      const ends = []
      sub.on('subscribing', (ctx) => { ends.push(ctx.code); getToken.reachable = true })
      await until('the token has ended', () => now() > exp + 3)
      await server.api('publish', { channel, data: 1 })
      await received(sub, 1)
      assert.deepEqual(ends, [])
      await until('the subscription ends', () => ends.length > 0, GRACE)
      await server.api('publish', { channel, data: 2 })
      await received(sub, 2)
      assert.deepEqual([ends, lost, sub.pubs.map((p) => p.data)], [[2501], [], [1, 2]])
    })
  }
}

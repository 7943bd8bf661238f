import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import { client, connected, next, received, subscribed, unique } from './lib/client.mjs'
import { config } from './lib/config.mjs'
import { Server } from './lib/server.mjs'
import { token } from './lib/token.mjs'

let server
before(async () => { server = await Server.start(config) })
after(() => server.remove())

let users = 0
const user = () => `user-${++users}`

test('a backend subscribes a user, and unsubscribes', async (t) => {
  const name = user()
  const c = await connected(t, server.url, { token: token({ sub: name }) })
  const channel = unique('history')
  const told = next(c, 'subscribed')
  await server.api('subscribe', { user: name, channel })
  assert.equal((await told).channel, channel)
  const pub = next(c, 'publication')
  await server.api('publish', { channel, data: { n: 1 } })
  assert.deepEqual((await pub).data, { n: 1 })
  const left = next(c, 'unsubscribed')
  await server.api('unsubscribe', { user: name, channel })
  assert.equal((await left).channel, channel)
})

test('a backend ends a subscription that the client made', async (t) => {
  const name = user()
  const c = await connected(t, server.url, { token: token({ sub: name }) })
  const sub = await subscribed(c, unique('users'))
  const told = next(sub, 'unsubscribed')
  await server.api('unsubscribe', { user: name, channel: sub.channel })
  assert.equal((await told).code, 2000)
  assert.equal(sub.state, 'unsubscribed')
})

test('a backend disconnects a user for good', async (t) => {
  const name = user()
  const all = [await connected(t, server.url, { token: token({ sub: name }) }), await connected(t, server.url, { token: token({ sub: name }) })]
  const other = await connected(t, server.url, { token: token({ sub: user() }) })
  const ends = all.map((c) => next(c, 'disconnected'))
  await server.api('disconnect', { user: name })
  for (const { code, reason } of await Promise.all(ends)) assert.deepEqual([code, reason], [3503, 'force disconnect'])
  assert.equal(other.state, 'connected')
})

test('a backend disconnects with a code of its own, and the client comes back', async (t) => {
  const name = user()
  const c = await connected(t, server.url, { token: token({ sub: name }) })
  const connecting = next(c, 'connecting')
  await server.api('disconnect', { user: name, disconnect: { code: 4100, reason: 'come back' } })
  const { code, reason } = await connecting
  assert.deepEqual([code, reason], [4100, 'come back'])
  await c.ready(5000)
})

test('one client of a user is disconnected, and a whitelist is kept', async (t) => {
  const name = user()
  const make = async () => {
    const c = client(t, server.url, { token: token({ sub: name }) })
    const told = next(c, 'connected')
    c.connect()
    return { c, id: (await told).client }
  }
  const [a, b, kept] = [await make(), await make(), await make()]
  const endA = next(a.c, 'disconnected')
  await server.api('disconnect', { user: name, client: a.id })
  await endA
  assert.equal(b.c.state, 'connected')
  const endB = next(b.c, 'disconnected')
  await server.api('disconnect', { user: name, whitelist: [kept.id] })
  await endB
  assert.equal(kept.c.state, 'connected')
})

test('a batch runs in order, and each command has its reply', async (t) => {
  const c = await connected(t, server.url)
  const sub = await subscribed(c, unique('history'))
  const commands = [1, 2, 3].map((data) => ({ publish: { channel: sub.channel, data } }))
  commands.splice(1, 0, { publish: { channel: 'nowhere:x', data: 0 } })
  const { replies } = await server.api('batch', { commands })
  assert.equal(replies.length, 4)
  assert.deepEqual(replies.map((r) => r.error?.code ?? r.publish.offset), [1, 102, 2, 3])
  assert.deepEqual((await received(sub, 3)).map((p) => p.data), [1, 2, 3])
})

test('channels and info show what is there', async (t) => {
  const name = unique('plain')
  await subscribed(await connected(t, server.url), name + '-a')
  await subscribed(await connected(t, server.url), name + '-a')
  await subscribed(await connected(t, server.url), name + '-b')
  const { channels } = await server.api('channels', { pattern: name + '-*' })
  assert.deepEqual(channels, { [name + '-a']: { num_clients: 2 }, [name + '-b']: { num_clients: 1 } })
  const { nodes } = await server.api('info')
  assert.equal(nodes.length, 1)
  assert.ok(nodes[0].num_clients >= 3)
})

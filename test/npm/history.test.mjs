import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import { connected, subscribed, subscription, unique, until } from './lib/client.mjs'
import { config } from './lib/config.mjs'
import { Server } from './lib/server.mjs'

let server
before(async () => { server = await Server.start(config) })
after(() => server.remove())

for (const namespace of ['history', 'memory']) {
  test(`${namespace}: limit, since, reverse`, async (t) => {
    const c = await connected(t, server.url)
    const sub = await subscribed(c, unique(namespace))
    for (let n = 1; n <= 10; n++) await sub.publish(n)
    const top = await sub.history({ limit: 0 })
    assert.deepEqual([top.publications, top.offset], [[], 10])
    const { epoch } = top
    const page = async (options) => {
      const got = await sub.history(options)
      assert.deepEqual([got.offset, got.epoch], [10, epoch])
      assert.deepEqual(got.publications.map((p) => p.offset), got.publications.map((p) => p.data))
      return got.publications.map((p) => p.data)
    }
    assert.deepEqual(await page({ limit: 3 }), [1, 2, 3])
    assert.deepEqual(await page({ limit: 3, reverse: true }), [10, 9, 8])
    assert.deepEqual(await page({ limit: 3, since: { offset: 4, epoch } }), [5, 6, 7])
    assert.deepEqual(await page({ limit: 3, since: { offset: 4, epoch }, reverse: true }), [3, 2, 1])
    assert.deepEqual(await page({ limit: 100, since: { offset: 8, epoch } }), [9, 10])
    assert.deepEqual(await page({ limit: 100, since: { offset: 10, epoch } }), [])
    await assert.rejects(sub.history({ limit: 1, since: { offset: 1, epoch: 'other' } }), { code: 112 })
  })
}

test('history is trimmed to its size, and removed when told', async (t) => {
  const c = await connected(t, server.url)
  const sub = await subscribed(c, unique('small'))
  for (let n = 1; n <= 7; n++) await sub.publish(n)
  assert.deepEqual((await sub.history({ limit: 100 })).publications.map((p) => p.offset), [5, 6, 7])
  await server.api('history_remove', { channel: sub.channel })
  const removed = await sub.history({ limit: 100 })
  assert.deepEqual(removed.publications, [])
  await sub.publish(8)
  assert.equal((await sub.history({ limit: 100 })).publications.length, 1)
})

test('history is not available where there is none', async (t) => {
  const c = await connected(t, server.url)
  await assert.rejects(c.history(unique('plain'), { limit: 1 }), { code: 108 })
})

test('presence, joins and leaves', async (t) => {
  const channel = unique('who')
  const watcher = await subscribed(await connected(t, server.url), channel)
  const guest = await connected(t, server.url)
  const sub = await subscribed(guest, channel)
  await until('the watcher saw the join', () => watcher.joins.length === 2)
  const joined = watcher.joins[1]
  assert.match(joined.client, /^[0-9a-f-]{36}$/)

  const { clients } = await watcher.presence()
  assert.deepEqual(Object.keys(clients).sort(), watcher.joins.map((j) => j.client).sort())
  assert.deepEqual(await watcher.presenceStats(), { numClients: 2, numUsers: 1 })
  const stats = await server.api('presence_stats', { channel })
  assert.deepEqual([stats.num_clients, stats.num_users], [2, 1])

  sub.unsubscribe()
  await until('the watcher saw the leave', () => watcher.leaves.length === 1)
  assert.equal(watcher.leaves[0].client, joined.client)
  assert.equal((await watcher.presenceStats()).numClients, 1)

  sub.subscribe()
  await until('the guest is back', () => watcher.joins.length === 3)
  guest.disconnect()
  await until('the guest left by its connection', () => watcher.leaves.length === 2)
  assert.equal((await watcher.presenceStats()).numClients, 1)
})

test('presence is not available where there is none', async (t) => {
  const c = await connected(t, server.url)
  await assert.rejects(c.presence(unique('plain')), { code: 108 })
  await assert.rejects(c.presenceStats(unique('plain')), { code: 108 })
})

test('unknown namespaces and refused channels', async (t) => {
  const c = await connected(t, server.url)
  await assert.rejects(c.publish('nowhere:x', 1), { code: 102 })
  await assert.rejects(c.publish('closed:x', 1), { code: 103 })
  for (const [channel, code] of [['nowhere:x', 102], ['closed:x', 103], ['$plain:x', 103]]) {
    const sub = subscription(c, channel)
    const told = new Promise((resolve) => sub.once('unsubscribed', resolve))
    sub.subscribe()
    assert.equal((await told).code, code, channel)
  }
})

import assert from 'node:assert/strict'
import test, { after, before, describe } from 'node:test'
import { connected, next, received, subscribed, unique, until } from './lib/client.mjs'
import { config, often } from './lib/config.mjs'
import { Proxy } from './lib/proxy.mjs'
import { Server } from './lib/server.mjs'

const last = (list) => list[list.length - 1]

// setup gives a server, a network to it and a channel with one subscriber.
async function setup(t, server, namespace, options) {
  const proxy = await Proxy.start(server.addr)
  t.after(() => proxy.close())
  const c = await connected(t, proxy.url, options)
  const sub = await subscribed(c, unique(namespace))
  const publish = (n) => server.api('publish', { channel: sub.channel, data: n })
  return { proxy, c, sub, publish }
}

const upTo = (n) => Array.from({ length: n }, (_, i) => i + 1)

describe('recovery', () => {
  let server
  before(async () => { server = await Server.start(config) })
  after(() => server.remove())

  for (const namespace of ['history', 'memory']) {
    test(`${namespace}: after the socket was cut`, async (t) => {
      const { proxy, sub, publish } = await setup(t, server, namespace)
      for (const n of [1, 2]) await publish(n)
      await received(sub, 2)
      proxy.cut()
      await next(sub, 'subscribing').catch(() => assert.notEqual(sub.state, 'subscribed'))
      for (let n = 3; n <= 150; n++) await publish(n)
      const back = next(sub, 'subscribed')
      proxy.mend()
      const { wasRecovering, recovered } = await back
      assert.deepEqual([wasRecovering, recovered], [true, true])
      await publish(151)
      assert.deepEqual((await received(sub, 151)).map((p) => p.data), upTo(151))
      assert.deepEqual(sub.pubs.map((p) => p.offset), upTo(151))
    })
  }

  test('after the network swallowed everything', async (t) => {
    const own = await Server.start(often(config))
    t.after(() => own.remove())
    const { proxy, sub, publish } = await setup(t, own, 'history', { maxServerPingDelay: 1000 })
    await publish(1)
    await received(sub, 1)
    proxy.darken()
    const noticed = next(sub, 'subscribing')
    for (let n = 2; n <= 20; n++) await publish(n)
    await noticed // no ping came
    proxy.mend()
    assert.deepEqual((await received(sub, 20)).map((p) => p.data), upTo(20))
    assert.equal(last(sub.states).recovered, true)
  })

  test('cut again and again while messages come', async (t) => {
    const { proxy, sub, publish } = await setup(t, server, 'history')
    let n = 0
    for (let round = 0; round < 15; round++) {
      const more = Promise.all([1, 2, 3, 4, 5].map(() => publish(++n)))
      await received(sub, n - 5 * (round % 2))
      proxy.cut()
      await more
      proxy.mend()
    }
    await received(sub, n)
    assert.deepEqual(sub.pubs.map((p) => p.offset), upTo(n))
    assert.ok(sub.states.slice(1).every((s) => s.wasRecovering && s.recovered))
  })

  test('a position that was trimmed cannot be recovered, and says so', async (t) => {
    const { proxy, sub, publish } = await setup(t, server, 'small')
    await publish(1)
    await received(sub, 1)
    proxy.cut()
    for (let n = 2; n <= 10; n++) await publish(n)
    const back = next(sub, 'subscribed')
    proxy.mend()
    const { wasRecovering, recovered } = await back
    assert.deepEqual([wasRecovering, recovered], [true, false])
    await publish(11)
    await until('the live one', () => last(sub.pubs).data === 11)
    assert.ok(!sub.pubs.some((p) => p.data === 2), 'what came before the gap is not shown as if there was none')
  })

  test('a position of another epoch cannot be recovered', async (t) => {
    const c = await connected(t, server.url)
    const channel = unique('history')
    await server.api('publish', { channel, data: 1 })
    const sub = await subscribed(c, channel, { since: { offset: 1, epoch: 'other' } })
    assert.deepEqual([sub.states[0].wasRecovering, sub.states[0].recovered], [true, false])
  })

  test('a given position is recovered from', async (t) => {
    const c = await connected(t, server.url)
    const channel = unique('history')
    for (let n = 1; n <= 5; n++) await server.api('publish', { channel, data: n })
    const { epoch } = await server.api('history', { channel, limit: 0 })
    const sub = await subscribed(c, channel, { since: { offset: 2, epoch } })
    assert.equal(sub.states[0].recovered, true)
    assert.deepEqual((await received(sub, 3)).map((p) => p.offset), [3, 4, 5])
  })

  test('cache mode gives the latest only', async (t) => {
    const { proxy, sub, publish } = await setup(t, server, 'cache')
    await publish(1)
    await received(sub, 1)
    proxy.cut()
    for (let n = 2; n <= 10; n++) await publish(n)
    proxy.mend()
    assert.deepEqual((await received(sub, 2)).map((p) => p.data), [1, 10])
    await publish(11)
    assert.deepEqual((await received(sub, 3)).map((p) => p.data), [1, 10, 11])
  })
})

describe('a server that comes again', () => {
  const ways = [
    ['restarted', (server) => server.stop()],
    ['killed with kill -9', (server) => server.kill()]
  ]
  for (const [how, end] of ways) {
    test(`${how}: nothing on disk is lost, memory says that it is`, async (t) => {
      const server = await Server.start(config)
      t.after(() => server.remove())
      const { proxy, c, sub, publish } = await setup(t, server, 'history')
      const memory = await subscribed(c, unique('memory'))
      for (const n of [1, 2, 3]) await publish(n)
      await server.api('publish', { channel: memory.channel, data: 'gone' })
      await received(sub, 3)
      await received(memory, 1)

      const [back, memoryBack] = [next(sub, 'subscribed'), next(memory, 'subscribed')]
      await end(server)
      proxy.cut()
      await server.up()
      proxy.target = server.addr
      for (const n of [4, 5]) await publish(n)
      proxy.mend()
      const { wasRecovering, recovered, streamPosition } = await back
      assert.deepEqual([wasRecovering, recovered], [true, true])
      assert.equal(streamPosition.epoch, sub.states[0].streamPosition.epoch, 'the epoch stays')
      await publish(6)
      assert.deepEqual((await received(sub, 6)).map((p) => p.offset), upTo(6))
      assert.deepEqual((await memoryBack).recovered, false)

      const { publications } = await sub.history({ limit: 10 })
      assert.deepEqual(publications.map((p) => p.data), upTo(6))
    })
  }
})

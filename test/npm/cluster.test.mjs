// pusher-js without WebSocket against three nodes, where each request of a client
// goes to the next of them.
import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import * as cf from './lib/client.mjs'
import { Balancer } from './lib/balancer.mjs'
import { config } from './lib/config.mjs'
import { app, connected, next, state, subscribed, transports, unique } from './lib/pusher.mjs'
import { ready, trio } from './lib/trio.mjs'

const open = { allow_subscribe_for_client: true, allow_subscribe_for_anonymous: true }
const LONG = 60_000 // for what waits for a node to be dead
const BUSY = 111

let nodes, balancer
before(async () => {
  nodes = await trio({
    ...config,
    app,
    client: { allow_anonymous: true },
    pusher: { client_events: true },
    channel: {
      without_namespace: open,
      namespaces: [{ name: 'kept', prefixes: ['private-kept-'], ...open, history_size: 1000, history_ttl: '1h' }]
    }
  })
  balancer = await Balancer.start(nodes.map((n) => n.addr))
})
after(async () => {
  await balancer?.close()
  await Promise.all((nodes ?? []).map((n) => n.remove()))
})

// publish asks again where a log has no leader for a moment, as backends do.
async function publish(node, channel, data, event = 'e') {
  const request = { channel, data, event, idempotency_key: unique('key-') }
  await cf.until('it is published', () => node.api('publish', request).then(() => true, (error) => {
    if (error.code !== BUSY) throw error
    return false
  }), LONG)
}

const ends = { xhr_streaming: '/xhr_streaming', xhr_polling: '/xhr' }

// through gives a client behind the balancer: its session's name, and what becomes of
// its connection in states.
async function through(t, via) {
  const before = balancer.requests.length
  const p = await connected(t, { addr: balancer.addr }, { transport: transports[via] })
  const [, , , , , session] = balancer.requests[before].path.split('/')
  Object.assign(p, { session, owner: balancer.requests[before].target, states: [] })
  p.connection.bind('state_change', ({ current }) => p.states.push(current))
  return p
}

// onward makes a client ask again, until its response comes by another node than its
// session's, and gives that. Nothing is on its way to the client then.
async function onward(p, via, channel) {
  let fillers = 0
  for (;;) {
    await cf.until('the client waits', () => channel.events.length === fillers && balancer.last(p.session, ends[via]).open, LONG)
    const last = balancer.last(p.session, ends[via])
    const node = nodes.find((n) => n.addr === last.target)
    if (last.target !== p.owner) {
      await cf.until('the response is at another node', async () => !last.open || await node.metric('fanfare_node_relayed_responses') === 1)
      if (last.open) return node
    }
    await publish(alive()[0], channel.name, 'x'.repeat(via === 'xhr_polling' ? 1 : 16 << 10), 'filler')
    fillers++
  }
}

const alive = () => nodes.filter((n) => balancer.targets.includes(n.addr))

for (const via of ['xhr_streaming', 'xhr_polling']) {
  test(`${via}: a session is told everything once and in order, whichever nodes its requests reach`, async (t) => {
    const p = await through(t, via)
    const id = p.connection.socket_id
    const channel = await subscribed(p, unique('private-kept-'))
    const text = 'ü€🎉'.repeat(300)
    const n = 200
    for (let i = 0; i < n; i++) await publish(nodes[i % 3], channel.name, { i, text })
    await cf.until(`${n} events`, () => channel.events.length >= n, LONG)
    assert.deepEqual(channel.events.map((e) => e.data.i), [...Array(n).keys()])
    assert.ok(channel.events.every((e) => e.data.text === text))

    const other = await through(t, via)
    const theirs = await subscribed(other, channel.name)
    for (let i = 0; i < 6; i++) {
      const [from, to] = i % 2 ? [channel, theirs] : [theirs, channel]
      const told = next(to, 'client-typing')
      from.trigger('client-typing', { i })
      assert.deepEqual((await told)[0], { i })
    }
    assert.equal(p.connection.socket_id, id)
    assert.deepEqual([p.states, other.states], [[], []])
    const reached = new Set(balancer.of(p.session, ends[via]).map((r) => r.target))
    assert.equal(reached.size, 3, `of ${balancer.of(p.session, ends[via]).length} requests`)
  })

  test(`${via}: a client whose node is killed connects anew`, async (t) => {
    const p = await through(t, via)
    const id = p.connection.socket_id
    const channel = await subscribed(p, unique('private-'))
    await onward(p, via, channel)
    const owner = nodes.find((n) => n.addr === p.owner)
    await comesBack(t, p, channel, id, owner)
  })

  test(`${via}: so does one whose response came by the node that is killed`, async (t) => {
    const p = await through(t, via)
    const id = p.connection.socket_id
    const channel = await subscribed(p, unique('private-'))
    await comesBack(t, p, channel, id, await onward(p, via, channel))
  })
}

// comesBack kills a node, and starts it again at the end.
async function comesBack(t, p, channel, id, node) {
  t.after(async () => {
    await node.up()
    balancer.targets = nodes.map((n) => n.addr)
    await cf.until('the node is ready again', () => ready(node), LONG)
  })
  balancer.targets = balancer.targets.filter((addr) => addr !== node.addr)
  await node.kill()
  await cf.until('there is another connection', () => p.connection.state === 'connected' && p.connection.socket_id !== id, LONG)
  await cf.until('the channel is subscribed again', () => channel.subscribed, LONG)
  const told = next(channel, 'after')
  await publish(alive()[1], channel.name, { there: true }, 'after')
  assert.deepEqual((await told)[0], { there: true })
}

test('xhr_polling: a session outlives the stop of a node that its poll is at', async (t) => {
  const p = await through(t, 'xhr_polling')
  const id = p.connection.socket_id
  const channel = await subscribed(p, unique('private-'))
  const node = await onward(p, 'xhr_polling', channel)
  t.after(async () => {
    await node.up()
    balancer.targets = nodes.map((n) => n.addr)
    await cf.until('the node is ready again', () => ready(node), LONG)
  })
  balancer.targets = balancer.targets.filter((addr) => addr !== node.addr)
  channel.events.length = 0
  const stopped = node.stop()
  for (let i = 0; i < 20; i++) await publish(alive()[i % 2], channel.name, { i })
  assert.equal(await stopped, 0)
  await publish(alive()[0], channel.name, { i: 20 })
  await cf.until('all events', () => channel.events.length >= 21)
  assert.deepEqual(channel.events.map((e) => e.data.i).sort((a, b) => a - b), [...Array(21).keys()])
  assert.equal(p.connection.socket_id, id)
  assert.deepEqual(p.states, [])
  await state(p, 'connected')
})

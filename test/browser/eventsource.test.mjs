// The browser's own EventSource, without any client of ours, on /sse: cut again
// and again it comes back by itself and misses nothing.

import assert from 'node:assert/strict'
import { after, afterEach, before, beforeEach, test } from 'node:test'

import { launch } from './browser.mjs'
import { Hostile } from './hostile.mjs'
import { Server, until } from './server.mjs'

let browser
let server
let proxy
let page

before(async () => {
  server = await Server.dev()
  browser = await launch()
})

after(async () => {
  await browser?.close()
  await server?.stop()
})

beforeEach(async () => {
  proxy = await Hostile.start(server.url)
  const context = await browser.newContext()
  page = await context.newPage()
  await page.goto(`${proxy.url}/client.d.ts`) // of the server's origin, and without content
})

afterEach(async () => {
  await page.context().close()
  await proxy.close()
})

const range = (n) => Array.from({ length: n }, (_, i) => i + 1)

// listen opens an EventSource that writes down what it is told.
function listen(channels) {
  return page.evaluate((names) => {
    const query = new URLSearchParams(names.map((name) => ['channel', name]))
    window.source = new EventSource(`/sse?${query}`)
    window.got = { messages: [], subscribed: [], opens: 0, errors: 0 }
    window.source.addEventListener('open', () => { window.got.opens++ })
    window.source.addEventListener('error', () => { window.got.errors++ })
    window.source.addEventListener('message', (e) => window.got.messages.push({ ...JSON.parse(e.data), id: e.lastEventId }))
    window.source.addEventListener('subscribed', (e) => window.got.subscribed.push(JSON.parse(e.data)))
  }, channels)
}

const got = () => page.evaluate(() => window.got)

async function having(check, what) {
  return until(async () => {
    const all = await got()
    return check(all) && all
  }, what)
}

for (const channels of [['source-1'], ['source-2', 'source-3', "source-4~ü'"]]) {
  test(`cut again and again, ${channels.length} channel(s): every message once and in order`, async () => {
    await listen(channels)
    await having((all) => all.subscribed.length === channels.length, 'the subscriptions')
    let n = 0
    const publish = async (times) => {
      for (; times > 0; times--) {
        n++
        for (const channel of channels) await server.publish(channel, { n })
      }
    }
    for (const round of range(3)) {
      await publish(5)
      proxy.cut()
      await publish(5) // while nobody listens
      await having((all) => all.subscribed.length >= channels.length * (round + 1), 'the browser to come back')
    }
    await publish(1)
    const all = await having((now) => now.messages.length >= n * channels.length, `${n} messages of each channel`)
    for (const channel of channels) {
      const mine = all.messages.filter((m) => m.channel === channel)
      assert.deepEqual(mine.map((m) => m.data.n), range(n))
      assert.deepEqual(mine.map((m) => m.offset), range(n))
    }
    assert.ok(all.messages.every((m) => m.id), 'every message says where to go on')
    assert.ok(all.subscribed.slice(channels.length).every((s) => s.recovered === true), 'nothing was lost')
    assert.ok(all.errors >= 3, 'it was cut')
  })
}

test('a server that is killed and started again goes on where it was', async () => {
  const channel = 'source-killed'
  await listen([channel])
  await having((all) => all.subscribed.length === 1, 'the subscription')
  for (const n of range(3)) await server.publish(channel, { n })
  await having((all) => all.messages.length === 3, 'three messages')
  await server.stop('SIGKILL')
  await server.start()
  for (const n of [4, 5]) await server.publish(channel, { n })
  const all = await having((now) => now.messages.length >= 5, 'the messages since')
  assert.deepEqual(all.messages.map((m) => m.data.n), range(5))
})

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import test, { after, before } from 'node:test'
import { WebSocket } from 'ws'
import { connected, received, subscribed, unique, until } from './lib/client.mjs'
import { config } from './lib/config.mjs'
import { Server } from './lib/server.mjs'

let server
before(async () => { server = await Server.start(config) })
after(() => server.remove())

// A client that never reads fills the buffers of the kernel, then its outbox.
test('a client that never reads is disconnected with 3008, the others get everything', async (t) => {
  const channel = unique('plain')
  const healthy = await subscribed(await connected(t, server.url), channel)
  const slow = new WebSocket(server.url)
  await new Promise((resolve) => slow.once('open', resolve))
  slow.send(`{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"${channel}"}}`)
  await until('both are subscribed', async () => (await server.api('channels', { pattern: channel })).channels[channel]?.num_clients === 2)
  slow.pause()

  const cut = () => server.metric('fanfare_disconnects_total{code="3008"}')
  const data = randomBytes(96 << 10).toString('base64') // nothing that compression makes small
  let published = 0
  await until('the slow one was cut', async () => {
    for (let i = 0; i < 8; i++, published++) await server.api('publish', { channel, data })
    return (await cut()) === 1
  })
  await server.api('publish', { channel, data: 'end' })
  const pubs = await received(healthy, published + 1)
  assert.equal(pubs[published].data, 'end')
  assert.ok((await server.metric('fanfare_drops_total{reason="outbox_full"}')) >= 1)
  slow.terminate()
})

// Who may subscribe to which kind of channel, through each protocol: a channel's
// kind holds whatever the client speaks.
import assert from 'node:assert/strict'
import test, { after, before, describe } from 'node:test'
import { WebSocket } from 'ws'
import { connected, next, subscription } from './lib/client.mjs'
import { config } from './lib/config.mjs'
import { app, pusher, subscribed as pusherSubscribed, unique } from './lib/pusher.mjs'
import { Server } from './lib/server.mjs'
import { token } from './lib/token.mjs'

const open = config.channel.namespaces.find((n) => n.name === 'plain')
const { name, ...options } = open

let server
before(async () => {
  server = await Server.start({
    ...config, app,
    channel: { without_namespace: { ...options, presence: true, allow_user_limited_channels: true }, namespaces: config.channel.namespaces }
  })
})
after(() => server.remove())

// A subject is who asks: nobody, a user, or a user with a grant for the channel,
// in whatever form the protocol has.
const subjects = {
  nobody: {}, ann: { user: 'ann' }, eve: { user: 'eve' }, 'eve with a grant': { user: 'eve', grant: true }
}

const connectionToken = ({ user, channels }) => user && token({ sub: user, ...(channels && { channels }) })

// centrifuge asks as an SDK does; its grant is a subscription token.
async function centrifuge(t, encoding, channel, { user, grant }) {
  const c = await connected(t, server.url, { encoding, ...(user && { token: token({ sub: user }) }) })
  const sub = subscription(c, channel, grant && { token: token({ sub: user, channel }) })
  const answer = Promise.race([next(sub, 'subscribed').then(() => true), next(sub, 'unsubscribed').then(({ code }) => { assert.equal(code, 103); return false })])
  sub.subscribe()
  return answer
}

// The others have no subscription tokens: their grant is that the connection token
// lists the channel.
const asked = (channel, { user, grant }) => ({ token: connectionToken({ user, channels: grant && [channel] }), subs: { [channel]: {} } })

async function uniStream(t, channel, who) {
  const abort = new AbortController()
  t.after(() => abort.abort())
  const response = await fetch(`http://${server.addr}/connection/uni_http_stream`, {
    method: 'POST', body: JSON.stringify(asked(channel, who)), signal: abort.signal
  })
  const { value } = await response.body.getReader().read()
  const { connect } = JSON.parse(new TextDecoder().decode(value).split('\n')[0])
  return channel in (connect.subs ?? {})
}

async function uniSocket(t, channel, who) {
  const ws = new WebSocket(`ws://${server.addr}/connection/uni_websocket`)
  t.after(() => ws.close())
  ws.on('open', () => ws.send(JSON.stringify(asked(channel, who))))
  const first = await new Promise((resolve, reject) => { ws.once('message', resolve); ws.once('error', reject) })
  return channel in (JSON.parse(first.toString().split('\n')[0]).connect.subs ?? {})
}

async function plain(t, path, channel, { user, grant }) {
  const query = new URLSearchParams({ channel, wait: '0' })
  const bearer = connectionToken({ user, channels: grant && [channel] })
  const abort = new AbortController()
  t.after(() => abort.abort())
  const response = await fetch(`http://${server.addr}/${path}?${query}`, {
    headers: bearer ? { Authorization: `Bearer ${bearer}` } : {}, signal: abort.signal
  })
  if (!response.ok) assert.equal((await response.json()).error.code, 103)
  return response.ok
}

// A Pusher client is nobody, or has a signature for the channel.
async function pusherClient(t, channel, { grant }) {
  const p = pusher(t, server, {
    who: { user_id: 'eve' }, ...(!grant && { channelAuthorization: { customHandler: (_, callback) => callback(null, { auth: `${app.key}:00` }) } })
  })
  return pusherSubscribed(p, channel).then(() => true, () => false)
}

const ways = {
  'Centrifuge, JSON': (t, channel, who) => centrifuge(t, 'json', channel, who),
  'Centrifuge, Protobuf': (t, channel, who) => centrifuge(t, 'protobuf', channel, who),
  'Centrifuge, unidirectional stream': uniStream,
  'Centrifuge, unidirectional WebSocket': uniSocket,
  SSE: (t, channel, who) => plain(t, 'sse', channel, who),
  'long poll': (t, channel, who) => plain(t, 'poll', channel, who),
  Pusher: pusherClient
}

const everyone = Object.keys(subjects)
const kinds = {
  public: { channel: () => unique('room-'), may: everyone },
  'public cache': { channel: () => unique('cache-room-'), may: everyone },
  private: { channel: () => unique('private-room-'), may: ['eve with a grant'] },
  presence: { channel: () => unique('presence-room-'), may: ['eve with a grant'] },
  encrypted: { channel: () => unique('private-encrypted-room-'), may: ['eve with a grant'] },
  'with a token only': { channel: () => `$${unique('room-')}`, may: ['eve with a grant'], not: ['Pusher'] },
  'for those it lists': { channel: () => `${unique('room-')}#ann,bob`, may: ['ann', 'eve with a grant'], not: ['Pusher'] },
  "a user's own": { channel: () => '#server-to-user-ann', may: ['ann', 'eve with a grant'], not: ['Pusher'] }
}

for (const [kind, { channel, may, not = [] }] of Object.entries(kinds)) {
  describe(kind, () => {
    for (const [way, ask] of Object.entries(ways)) {
      if (not.includes(way)) continue // its names cannot be of this kind
      for (const [subject, who] of Object.entries(subjects)) {
        if (way === 'Pusher' && who.user && !who.grant) continue // it knows users by signatures alone
        test(`${way}, ${subject}: ${may.includes(subject) ? 'yes' : 'no'}`, async (t) => {
          assert.equal(await ask(t, channel(), who), may.includes(subject))
        })
      }
    }
  })
}

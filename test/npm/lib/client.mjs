// The published client, and waiting for what it says.
import { Centrifuge } from 'centrifuge'
import { Centrifuge as CentrifugeProtobuf } from 'centrifuge/build/protobuf'
import { EventSource } from 'eventsource'
import { WebSocket } from 'ws'

// TIMEOUT is how long a test waits for what must happen; it decides nothing.
export const TIMEOUT = 30_000

// encodings are how each of the two builds of the client says and hears a value:
// over Protobuf data is bytes.
export const encodings = {
  json: { Client: Centrifuge, encode: (value) => value, decode: (data) => data },
  protobuf: {
    Client: CentrifugeProtobuf,
    encode: (value) => new TextEncoder().encode(JSON.stringify(value)),
    decode: (data) => JSON.parse(new TextDecoder().decode(data))
  }
}

// connect makes a client that ends with the test t. It is not connected yet.
export function client(t, url, { encoding = 'json', ...options } = {}) {
  const c = new encodings[encoding].Client(url, {
    websocket: WebSocket, minReconnectDelay: 20, maxReconnectDelay: 200, timeout: 20_000, maxServerPingDelay: 20_000, ...options
  })
  t.after(() => c.disconnect())
  return c
}

// ways are the transports of the client that need a session on the server. Each
// gives what client takes for a server at an address, host:port.
export const ways = {
  websocket: (addr) => ({ url: `ws://${addr}/connection/websocket` }),
  http_stream: (addr) => overHTTP('http_stream', addr),
  sse: (addr) => ({ ...overHTTP('sse', addr), eventsource: EventSource })
}

const overHTTP = (transport, addr) => ({
  url: [{ transport, endpoint: `http://${addr}/connection/${transport}` }], emulationEndpoint: `http://${addr}/emulation`
})

// connected gives a client that has connected.
export async function connected(t, url, options) {
  const c = client(t, url, options)
  c.connect()
  await c.ready(TIMEOUT)
  return c
}

// subscribed gives a subscription that stands, and what it has been told so far in
// its lists pubs, joins, leaves, states.
export async function subscribed(c, channel, options) {
  const sub = subscription(c, channel, options)
  sub.subscribe()
  await sub.ready(TIMEOUT)
  return sub
}

export function subscription(c, channel, options) {
  const sub = c.newSubscription(channel, options)
  Object.assign(sub, { pubs: [], joins: [], leaves: [], states: [] })
  sub.on('publication', (ctx) => sub.pubs.push(ctx))
  sub.on('join', (ctx) => sub.joins.push(ctx.info))
  sub.on('leave', (ctx) => sub.leaves.push(ctx.info))
  sub.on('subscribed', (ctx) => sub.states.push(ctx))
  return sub
}

// next waits for an event and gives its context.
export function next(emitter, event) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      emitter.off(event, done)
      reject(new Error(`no event ${event} in ${TIMEOUT} ms`))
    }, TIMEOUT)
    const done = (ctx) => {
      clearTimeout(timer)
      resolve(ctx)
    }
    emitter.once(event, done)
  })
}

// until waits for a condition, sync or async.
export async function until(what, condition, timeout = TIMEOUT) {
  const deadline = Date.now() + timeout
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`not within ${timeout} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

// received waits until a subscription has n publications.
export async function received(sub, n) {
  await until(`${n} publications in ${sub.channel}, got ${sub.pubs.length}`, () => sub.pubs.length >= n)
  return sub.pubs
}

let number = 0

// unique is a channel that no other test uses.
export const unique = (namespace) => `${namespace}:${process.pid}-${++number}`

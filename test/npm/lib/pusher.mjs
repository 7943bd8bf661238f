// The published pusher-js, and what a backend signs for it.
import { createHash, createHmac } from 'node:crypto'
import Pusher from 'pusher-js'
import { TIMEOUT } from './client.mjs'

export const app = { id: 'npm', key: 'npm-key', secret: 'npm-suite-secret' }

export const sign = (text, secret = app.secret) => createHmac('sha256', secret).update(text).digest('hex')
export const md5 = (text) => createHash('md5').update(text).digest('hex')

// authorizer does what a backend's auth endpoint does.
export function authorizer(channelData) {
  return {
    customHandler: ({ channelName, socketId }, callback) => {
      const data = channelName.startsWith('presence-') && channelData ? JSON.stringify(channelData) : undefined
      const text = [socketId, channelName, ...(data ? [data] : [])].join(':')
      callback(null, { auth: `${app.key}:${sign(text)}`, channel_data: data, shared_secret: sharedSecret(channelName) })
    }
  }
}

export const masterKey = Buffer.alloc(32, 7)

// sharedSecret is what the backend library derives for an encrypted channel.
export const sharedSecret = (channel) =>
  createHash('sha256').update(channel).update(masterKey).digest('base64')

export function authenticator(userData) {
  return {
    customHandler: ({ socketId }, callback) => {
      const data = JSON.stringify(userData)
      callback(null, { auth: `${app.key}:${sign(`${socketId}::user::${data}`)}`, user_data: data })
    }
  }
}

// The transports that a suite can force, and what pusher-js calls them.
export const transports = { websocket: 'ws', xhr_streaming: 'xhr_streaming', xhr_polling: 'xhr_polling' }

// pusher makes a client of a server that ends with the test t. who is its member
// on presence channels, signin its user.
export function pusher(t, server, { transport = 'ws', who, signin, key = app.key, ...options } = {}) {
  const [host, port] = server.addr.split(':')
  const p = new Pusher(key, {
    cluster: '', wsHost: host, wsPort: Number(port), httpHost: host, httpPort: Number(port),
    forceTLS: false, enableStats: false, enabledTransports: [transport],
    channelAuthorization: authorizer(who), userAuthentication: signin && authenticator(signin), ...options
  })
  p.errors = []
  p.connection.bind('error', (e) => p.errors.push(e.error ?? e))
  // What is under way when a client ends can bring it back, to try for ever.
  t.after(() => {
    p.connection.bind('state_change', ({ current }) => current === 'disconnected' || setImmediate(() => p.disconnect()))
    p.disconnect()
  })
  return p
}

// connected gives a client once it is.
export async function connected(t, server, options) {
  const p = pusher(t, server, options)
  await state(p, 'connected')
  return p
}

export async function state(p, wanted) {
  if (p.connection.state === wanted) return
  await new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      p.connection.unbind('state_change', check)
      reject(new Error(`${p.connection.state}, not ${wanted}, after ${TIMEOUT} ms: ${JSON.stringify(p.errors)}`))
    }, TIMEOUT)
    const check = ({ current }) => {
      if (current !== wanted) return
      clearTimeout(timer)
      p.connection.unbind('state_change', check)
      resolve()
    }
    p.connection.bind('state_change', check)
  })
}

// next waits for an event of a client, a channel, or what else can be bound to.
export function next(emitter, event) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      emitter.unbind(event, done)
      reject(new Error(`no event ${event} in ${TIMEOUT} ms`))
    }, TIMEOUT).unref() // nobody may wait any more
    const done = (...args) => {
      clearTimeout(timer)
      emitter.unbind(event, done)
      resolve(args.length > 1 ? args : args[0])
    }
    emitter.bind(event, done)
  })
}

// subscribed gives a channel that is, with what it has been told since in its
// list events.
export async function subscribed(p, name) {
  const channel = p.subscribe(name)
  channel.events = []
  channel.bind_global((event, data) => event.startsWith('pusher:') || channel.events.push({ event, data }))
  const failed = new Promise((resolve, reject) => {
    channel.bind('pusher:subscription_error', (e) => reject(new Error(`${name}: ${JSON.stringify(e)}`)))
  })
  const answer = await Promise.race([next(channel, 'pusher:subscription_succeeded'), failed])
  channel.answer = answer
  return channel
}

let number = 0

// unique is a channel that no other test uses.
export const unique = (prefix) => `${prefix}${process.pid}-${++number}`

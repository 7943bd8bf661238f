// Fanfare's client for browsers; client.d.ts says what each name promises. Client is
// a session, links move its lines of the Centrifuge protocol.

const FRAME = 64_000 // characters sent together
const LINE = 200 // of them that each command counts for, beyond its own
const STEADY = 5000 // milliseconds after which a connection counts as good
const RETURN = 300_000 // after which the preferred transport is tried again
const SPREAD = 3000 // over which clients of a server that stops come back
const AWAY = 60_000 // longest wait while hidden or offline
const SAVE = 250 // from a publication to its position in the storage
const POLL_WAIT = 25 // seconds
const POLL_PAUSE = 2000 // between polls that may not wait

export class FanfareError extends Error {
  constructor(code, message, temporary = false) {
    super(message)
    Object.assign(this, { name: 'FanfareError', code, temporary })
  }
}

let emit // only this module makes events

class Emitter {
  #listeners = new Map()

  on(type, listener) {
    const set = this.#listeners.get(type) ?? new Set()
    this.#listeners.set(type, set.add(listener))
    return () => { set.delete(listener) }
  }

  static {
    emit = (emitter, type, detail) => {
      for (const listener of [...emitter.#listeners.get(type) ?? []]) {
        try {
          listener(detail)
        } catch (error) {
          queueMicrotask(() => { throw error }) // reported, and nobody else suffers
        }
      }
    }
  }
}

export class Client extends Emitter {
  #options
  #base
  #transports
  #state = 'disconnected'
  #id = ''
  #own // holds the session's token, as subscriptions do theirs
  #link = null
  #at = 0 // index of the transport in use
  #misses = 0 // failed tries of it in a row
  #proven = new Set() // transports that have connected
  #fellAt = Date.now()
  #lastId = 0
  #calls = new Map() // by id
  #out = [] // lines that leave together
  #subs = new Map() // by channel
  #attempt = 0
  #retry
  #watchdog
  #silence = 0 // milliseconds after which it means death
  #connectedAt = 0
  #pong = false
  #saving = 0
  #ears // ends the listeners on the page

  constructor(options = {}) {
    super()
    this.#options = { timeout: 10_000, minDelay: 500, maxDelay: 20_000, ...options }
    this.#own = { options: this.#options }
    this.#base = (options.url ?? location.origin).replace(/^ws/, 'http').replace(/\/+$/, '')
    this.#transports = (options.transports ?? Object.keys(links)).filter((name) => links[name]?.needs.every((need) => this.#env(need)))
    if (!this.#transports.length) throw new TypeError('no transport works here')
    if (options.remember) this.#at = Math.max(0, this.#transports.indexOf(this.#stored('')))
  }

  get state() { return this.#state }
  get id() { return this.#id }
  get transport() { return this.#transports[this.#at] }
  get subscriptions() { return new Map([...this.#subs].map(([channel, sub]) => [channel, sub.handle])) }

  connect() {
    if (this.#state === 'waiting') this.#hurry()
    if (this.#state !== 'disconnected') return
    this.#attempt = 0
    this.#own.token = undefined
    this.#listen()
    this.#open()
  }

  disconnect() { if (this.#state !== 'disconnected') this.#end(0, '') }

  subscribe(channel, options = {}) {
    if (typeof options === 'function') options = { onPublication: options }
    if (this.#subs.has(channel)) throw new TypeError(`already subscribed to ${channel}`)
    const sub = this.#add(channel, options)
    sub.position = options.since ?? (options.remember ? this.#stored(channel) : null)
    sub.recoverable = Boolean(sub.position)
    if (options.onPublication) sub.handle.on('publication', options.onPublication)
    if (this.#state === 'connected') this.#ask(sub)
    return sub.handle
  }

  async publish(channel, data) { await this.#call({ publish: { channel, data } }) }

  async presence(channel) { return (await this.#call({ presence: { channel } })).presence.presence ?? {} }

  async history(channel, { limit = 0, since, reverse } = {}) {
    const { epoch = '', offset = 0, publications = [] } = (await this.#call({ history: { channel, limit, since, reverse } })).history
    return { epoch, offset, publications: publications.map((pub) => ({ channel, ...publication(pub, epoch, true) })) }
  }

  #env(name) { return this.#options[name] ?? globalThis[name] }

  #become(state, detail) {
    const was = this.#state
    this.#state = state
    emit(this, 'state', { state, was, transport: this.transport, ...detail })
  }

  async #open() {
    clearTimeout(this.#retry)
    const link = this.#link = new links[this.transport](this.#base, (name) => this.#env(name))
    const mine = (act) => (...args) => { if (this.#link === link) act(...args) }
    link.onData = mine((text) => this.#receive(text))
    link.onLost = mine((...why) => this.#lost(...why))
    this.#become('connecting')
    try {
      await this.#token(this.#own)
    } catch (error) {
      return mine(() => this.#wait(0, `no token: ${error.message}`))()
    }
    mine(() => {
      this.#silence = this.#options.timeout / (this.#proven.has(this.transport) || this.#at === this.#transports.length - 1 ? 1 : 2)
      this.#heard()
      link.token = this.#own.token
      const ready = this.#all((sub) => !sub.server && (sub.token !== undefined || typeof sub.options.token !== 'function'))
      link.open([this.#hello(), ...ready.map((sub) => this.#line(sub))])
    })()
  }

  #hello() {
    const connect = { name: this.#options.name ?? 'js', token: this.#own.token || undefined, subs: {} }
    for (const { channel, position } of this.#all((sub) => sub.server && sub.recoverable)) connect.subs[channel] = { recover: true, ...position }
    return this.#command({ connect }, (reply) => this.#connected(reply.connect), ({ code, message, temporary }) => code && this.#lost(code, message, temporary ? 1 : 0)).line
  }

  #connected(result) {
    const { client = '', ping = 0, pong = false, subs = {} } = result
    this.#id = client
    this.#pong = pong
    this.#silence = ping && ping * 1000 + this.#options.timeout
    this.#connectedAt = Date.now()
    this.#misses = 0
    this.#proven.add(this.transport)
    if (this.#options.remember) this.#store('', this.transport)
    this.#link.connected(result)
    this.#heard()
    this.#renew(this.#own, result, (token) => ({ refresh: { token } }))
    const link = this.#link
    this.#become('connected', { id: client })
    if (this.#link !== link) return // a listener has ended it
    for (const sub of this.#all((sub) => sub.server && !subs[sub.channel])) this.#forget(sub, 0, '')
    for (const channel in subs) this.#push({ channel, subscribe: subs[channel] })
    for (const sub of this.#all((sub) => sub.state === 'waiting')) this.#ask(sub)
    for (const call of this.#calls.values()) if (call.held) this.#post(call)
  }

  async #token(holder) {
    const source = holder.options.token
    holder.token ??= (typeof source === 'function' ? await source(holder.channel) : source) ?? ''
  }

  // renew gets a new token before the present one expires.
  #renew(holder, { expires, ttl = 0 }, body) {
    clearTimeout(holder.timer)
    if (!expires || typeof holder.options.token !== 'function') return
    holder.timer = setTimeout(async () => {
      const link = this.#link
      let next = { expires, ttl: 10 } // should it fail, the present one holds for a moment
      try {
        holder.token = undefined
        await this.#token(holder)
        if (this.#link !== link) return
        const reply = await this.#call(body(holder.token))
        next = reply.refresh ?? reply.sub_refresh
      } catch { /* again, soon */ }
      if (this.#link === link && holder.state !== 'unsubscribed') this.#renew(holder, next, body)
    }, Math.min(Math.max(ttl * 900, 1000), 2 ** 31 - 1))
  }

  #heard() {
    clearTimeout(this.#watchdog)
    if (this.#silence) this.#watchdog = setTimeout(() => this.#lost(0, 'silence'), this.#silence)
  }

  // busy: the server is there and wants to be left alone for so many seconds.
  async #lost(code, reason, busy) {
    const expired = code === 109 || code === 3005 || code === 3006
    if (expired && typeof this.#options.token === 'function') this.#own.token = undefined
    else if (!busy && (code >= 3500 && code < 4000 || code >= 4500 && code < 5000 || code >= 100 && code < 400)) return this.#end(code, reason)
    if (this.#state === 'connected') {
      if (Date.now() - this.#connectedAt > STEADY) this.#attempt = 0
      if (Date.now() - this.#fellAt > RETURN) this.#at = 0
    } else if (!busy && !expired && ++this.#misses >= (this.#proven.has(this.transport) ? 3 : 1) && this.#transports.length > 1) {
      const link = this.#link
      this.#drop(link) // it keeps its place, so that whoever takes it is seen
      // Whose fault is it, the transport's or the network's?
      const signal = AbortSignal.timeout(this.#options.timeout / 2)
      const there = await this.#env('fetch')(`${this.#base}/health`, { mode: 'no-cors', cache: 'no-store', signal }).catch(() => null)
      if (this.#link !== link) return
      if (there) return this.#fall(code, reason)
      reason = 'the server cannot be reached'
    }
    this.#wait(code, reason, busy)
  }

  #fall(code, reason) {
    const from = this.transport
    this.#misses = 0
    this.#fellAt = Date.now()
    this.#at = (this.#at + 1) % this.#transports.length
    if (!this.#at) return this.#wait(code, reason)
    emit(this, 'fallback', { from, to: this.transport, reason })
    this.#open()
  }

  // Full jitter: clients that were cut together must not come back together.
  #jitter(attempt, least = 0, most = this.#options.maxDelay) {
    return Math.random() * Math.min(most, Math.max(least, this.#options.minDelay * 2 ** attempt))
  }

  #wait(code, reason, busy = 0) {
    this.#drop()
    const away = globalThis.document?.hidden || globalThis.navigator?.onLine === false
    const wait = busy * 1000 + this.#jitter(this.#attempt++, code === 3001 ? SPREAD : 0, away ? AWAY : undefined)
    this.#retry = setTimeout(() => this.#open(), wait)
    this.#become('waiting', { code, reason, wait })
  }

  // hurry tries soon when there is reason to hope.
  #hurry() {
    clearTimeout(this.#retry)
    this.#retry = setTimeout(() => this.#open(), this.#jitter(0, 0, 500))
  }

  #end(code, reason) {
    this.#drop(null, true)
    this.#ears.abort()
    this.#save()
    this.#become('disconnected', { code, reason })
  }

  // drop leaves positions, and calls that have not been sent.
  #drop(keep = null, all = false) {
    for (const timer of [this.#retry, this.#watchdog, this.#own.timer]) clearTimeout(timer)
    this.#link?.close()
    this.#link = keep
    this.#out = []
    this.#id = ''
    for (const sub of this.#all()) {
      clearTimeout(sub.timer)
      sub.state = 'waiting'
    }
    for (const [id, call] of this.#calls) {
      if (all || !call.held) this.#settle(id).fail(new FanfareError(0, 'the connection was lost before an answer', true))
    }
  }

  #listen() {
    this.#ears = new AbortController()
    const { signal } = this.#ears
    const on = (target, type, act) => target?.addEventListener?.(type, act, { signal })
    on(globalThis, 'online', () => {
      if (this.#state !== 'waiting') return
      this.#at = 0 // another network, perhaps without what was in the way
      this.#hurry()
    })
    on(globalThis, 'offline', () => { if (this.#state === 'connected') this.#lost(0, 'offline') })
    on(globalThis, 'pagehide', () => this.#save())
    on(globalThis.document, 'visibilitychange', () => {
      if (document.hidden) this.#save()
      else if (this.#state === 'waiting') this.#hurry()
    })
  }

  #command(body, done, fail, own = false) {
    const id = ++this.#lastId
    const timer = setTimeout(() => {
      this.#settle(id)
      if (own) fail(new FanfareError(0, 'no answer in time', true))
      else this.#lost(0, 'no answer in time')
    }, this.#options.timeout)
    const call = { line: JSON.stringify({ id, ...body }), done, fail, timer, held: own }
    this.#calls.set(id, call)
    return call
  }

  #call(body) {
    return new Promise((resolve, reject) => {
      if (this.#state === 'disconnected') return reject(new FanfareError(0, 'not connected', true))
      const call = this.#command(body, resolve, reject, true)
      if (this.#state === 'connected') this.#post(call)
    })
  }

  #post(call) {
    call.held = false
    this.#send(call.line)
  }

  #send(line) {
    if (this.#out.push(line) > 1) return
    queueMicrotask(() => { if (this.#out.length) this.#link.send(this.#out.splice(0)) })
  }

  #settle(id) {
    const call = this.#calls.get(id)
    clearTimeout(call?.timer)
    this.#calls.delete(id)
    return call
  }

  #receive(text) {
    this.#heard()
    const link = this.#link
    for (const line of text.split('\n')) {
      if (!line || this.#link !== link) continue
      let reply
      try {
        reply = JSON.parse(line)
      } catch {
        return this.#lost(0, 'this is no Fanfare server')
      }
      const { id, error, push } = reply
      if (push) this.#push(push)
      else if (!id) this.#pong && this.#send('{}')
      else if (error) this.#settle(id)?.fail(new FanfareError(error.code, error.message, error.temporary))
      else this.#settle(id)?.done(reply)
    }
  }

  #push({ channel, pub, join, leave, subscribe, unsubscribe, disconnect }) {
    const sub = this.#subs.get(channel)
    if (disconnect) this.#lost(disconnect.code, disconnect.reason)
    else if (subscribe) this.#subscribed(sub ?? this.#add(channel, {}, true), subscribe)
    else if (!sub) return // unsubscribed meanwhile
    else if (pub) this.#publication(sub, pub, false)
    else if (join ?? leave) this.#tell(sub, join ? 'join' : 'leave', { info: (join ?? leave).info })
    else if (unsubscribe) unsubscribe.code < 2500 ? this.#forget(sub, unsubscribe.code, unsubscribe.reason) : this.#later(sub)
  }

  #all(which = () => true) { return [...this.#subs.values()].filter(which) }

  #add(channel, options, server = false) {
    const sub = { channel, options, server, state: 'waiting', position: null, attempt: 0 }
    sub.handle = new Subscription(this, sub, () => {
      if (sub.state === 'unsubscribed') return
      if (this.#state === 'connected') this.#call({ unsubscribe: { channel } }).catch(() => {})
      this.#forget(sub, 0, '')
    })
    this.#subs.set(channel, sub)
    emit(this, 'subscriptions')
    return sub
  }

  async #ask(sub) {
    const link = this.#link
    sub.state = 'subscribing'
    try {
      await this.#token(sub)
    } catch {
      if (this.#link === link && sub.state === 'subscribing') this.#later(sub)
      return
    }
    if (this.#link === link && sub.state === 'subscribing') this.#send(this.#line(sub))
  }

  #line(sub) {
    const { channel, options, position } = sub
    sub.state = 'subscribing'
    const subscribe = { channel, positioned: true, recoverable: true, join_leave: options.joinLeave, token: sub.token ?? options.token }
    if (sub.recoverable) Object.assign(subscribe, { recover: true, ...position })
    return this.#command({ subscribe }, (reply) => this.#subscribed(sub, reply.subscribe), (error) => {
      if (this.#state !== 'connected' || sub.state !== 'subscribing') return
      const stale = error.code === 109 && typeof options.token === 'function'
      if (stale) sub.token = undefined
      if (stale || error.temporary) this.#later(sub)
      else this.#forget(sub, error.code, error.message)
    }).line
  }

  #subscribed(sub, result) {
    if (sub.state === 'unsubscribed') return
    const { channel, position: was } = sub
    const { epoch = '', offset = 0, recoverable, positioned, recovered = false, was_recovering: tried, publications = [] } = result
    // A position that was not taken is not recovered from, unless it still holds.
    const wasRecovering = Boolean(tried || sub.recoverable && (was.epoch !== epoch || was.offset !== offset))
    Object.assign(sub, { state: 'subscribed', attempt: 0, recoverable, position: positioned || recoverable ? { epoch, offset } : null })
    this.#renew(sub, result, (token) => ({ sub_refresh: { channel, token } }))
    this.#tell(sub, 'subscribed', { position: sub.handle.position, wasRecovering, recovered, missed: publications.length })
    for (const pub of publications) this.#publication(sub, pub, true)
    this.#saveSoon()
    emit(this, 'subscriptions')
  }

  #later(sub) {
    clearTimeout(sub.timer)
    sub.state = 'subscribing'
    sub.timer = setTimeout(() => this.#ask(sub), this.#jitter(sub.attempt++))
    emit(this, 'subscriptions')
  }

  #forget(sub, code, reason) {
    clearTimeout(sub.timer)
    sub.state = 'unsubscribed'
    this.#subs.delete(sub.channel)
    if (sub.options.remember) this.#store(sub.channel, null)
    this.#tell(sub, 'unsubscribed', { code, reason })
    emit(this, 'subscriptions')
  }

  #publication(sub, pub, recovered) {
    const { position } = sub
    if (position && pub.offset) position.offset = pub.offset
    this.#tell(sub, 'publication', publication(pub, position?.epoch, recovered))
    if (sub.options.remember) this.#saveSoon()
  }

  #tell(sub, type, detail) {
    detail.channel = sub.channel
    emit(sub.handle, type, detail)
    emit(this, type, detail)
  }

  // A storage may be missing, full or forbidden.
  #storage(name, work) {
    try {
      return work(this.#env('sessionStorage'), `fanfare ${this.#base} ${name}`)
    } catch {
      return null
    }
  }

  #stored(name) { return this.#storage(name, (storage, key) => JSON.parse(storage.getItem(key))) }

  #store(name, value) { this.#storage(name, (storage, key) => storage.setItem(key, JSON.stringify(value))) }

  #saveSoon() { this.#saving ||= setTimeout(() => this.#save(), SAVE) }

  #save() {
    clearTimeout(this.#saving)
    this.#saving = 0
    for (const sub of this.#all((sub) => sub.options.remember && sub.recoverable)) this.#store(sub.channel, sub.position)
  }
}

function publication({ b64data, data = b64data, offset = 0, tags = {}, event = tags.event, info = null, time = 0 }, epoch = '', recovered = false) {
  return { data, offset, epoch, event, tags, info, time, recovered }
}

export class Subscription extends Emitter {
  #sub

  constructor(client, sub, unsubscribe) {
    super()
    this.#sub = sub
    Object.assign(this, { client, unsubscribe })
  }

  get channel() { return this.#sub.channel }
  get state() { return this.#sub.state }
  get position() { return this.#sub.position && { ...this.#sub.position } }
  get recoverable() { return Boolean(this.#sub.recoverable) }
  get server() { return this.#sub.server }

  publish(data) { return this.client.publish(this.channel, data) }
  presence() { return this.client.presence(this.channel) }
  history(options) { return this.client.history(this.channel, options) }
}


// frames puts lines together, within what a server takes at once.
function frames(lines) {
  const out = []
  let room = 0
  for (const line of lines) {
    room -= line.length + LINE
    if (room > 0) out[out.length - 1] += `\n${line}`
    else {
      out.push(line)
      room = FRAME - line.length
    }
  }
  return out
}

// A link takes lines, connect first, and gives lines to onData. It calls onLost once.
class Link {
  live = true
  aborter = new AbortController()

  constructor(base, env) {
    this.base = base
    this.env = env
  }

  connected() {}

  close() {
    this.live = false
    this.aborter.abort()
  }

  lost({ code = 0, message, busy = 0 }) {
    if (!this.live) return
    this.close()
    this.onLost(code, message, busy)
  }

  // ask throws what lost wants to know. Only a server's own error has a code; others
  // are of somebody on the way.
  async ask(path, options) {
    const answer = await this.env('fetch')(this.base + path, { cache: 'no-store', signal: this.aborter.signal, ...options })
    const { ok, status, headers } = answer
    if (ok) return answer
    const { error } = await answer.json().catch(() => ({}))
    throw { message: `status ${status}`, ...error, status, busy: status === 503 || status === 429 ? Number(headers.get('Retry-After')) || 1 : 0 }
  }

  post(path, body) { return this.ask(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body }) }
}

class SocketLink extends Link {
  static needs = ['WebSocket']

  open(lines) {
    try {
      this.socket = new (this.env('WebSocket'))(`${this.base.replace(/^http/, 'ws')}/connection/websocket`)
    } catch (error) {
      queueMicrotask(() => this.lost(error))
      return
    }
    this.socket.onopen = () => this.send(lines)
    this.socket.onmessage = ({ data }) => { if (this.live) this.onData(data) }
    this.socket.onclose = ({ code, reason }) => this.lost({ code: code === 1006 ? 0 : code, message: reason || 'the WebSocket failed' })
  }

  send(lines) { for (const frame of frames(lines)) this.socket.send(frame) }

  close() {
    super.close()
    this.socket?.close()
  }
}

// EmulatedLink sends in requests of their own, one after another, as they could
// overtake each other.
class EmulatedLink extends Link {
  #waiting = []
  #busy = true

  connected({ session, node }) {
    this.name = { session, node }
    this.#post()
  }

  send(lines) {
    this.#waiting.push(...lines)
    if (!this.#busy) this.#post()
  }

  async #post() {
    this.#busy = true
    try {
      while (this.#waiting.length && this.live) {
        for (const data of frames(this.#waiting.splice(0))) await this.post('/emulation', JSON.stringify({ ...this.name, data }))
      }
    } catch ({ message, busy }) {
      this.lost({ message, busy }) // no verdict on the client
    }
    this.#busy = false
  }
}

class StreamLink extends EmulatedLink {
  static needs = ['fetch', 'TextDecoderStream']

  async open(lines) {
    const [body, ...more] = frames(lines)
    this.send(more)
    try {
      const answer = await this.post('/connection/http_stream', body)
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader()
      for (let rest = ''; ;) {
        const { value, done } = await reader.read()
        if (done) throw { message: 'the stream ended' }
        rest += value
        const end = rest.lastIndexOf('\n') + 1
        if (end && this.live) this.onData(rest.slice(0, end))
        rest = rest.slice(end)
      }
    } catch (error) {
      this.lost(error)
    }
  }
}

class EventLink extends EmulatedLink {
  static needs = ['EventSource', 'fetch']

  open([connect, ...more]) {
    this.send(more)
    this.source = new (this.env('EventSource'))(`${this.base}/connection/sse?cf_connect=${encodeURIComponent(connect)}`)
    this.source.onmessage = ({ data }) => { if (this.live) this.onData(data) }
    this.source.onerror = () => this.lost({ message: 'the event stream failed' })
  }

  close() {
    super.close()
    this.source?.close()
  }
}

// How the plain protocol writes names in positions.
const escape = (name) => encodeURIComponent(name).replace(/[!'()*~]/g, (c) => `%${c.charCodeAt().toString(16)}`).replaceAll('%', '~')
const unescape = (text) => decodeURIComponent(text.replaceAll('~', '%'))

// PollLink answers commands itself, by what polls bring. There is no session.
class PollLink extends Link {
  static needs = ['fetch']
  #places = new Map() // position by channel
  #wait = POLL_WAIT
  #round // ends the poll under way

  open(lines) { this.send(lines) }

  async send(lines) {
    for (const line of lines) {
      const { id, connect, subscribe, unsubscribe } = JSON.parse(line)
      try {
        if (connect) await this.#connect()
        else if (unsubscribe) this.#places.delete(unsubscribe.channel)
        else if (!subscribe) throw { code: 108, message: 'not available over long poll' }
        this.#say({ id, connect: {}, unsubscribe, subscribe: subscribe && await this.#subscribe(subscribe) })
      } catch (error) {
        if (connect || !error.code) this.lost(error)
        else this.#say({ id, error: { ...error, temporary: error.busy > 0 } })
      }
    }
    if (this.live) this.#run()
  }

  // Without a channel a poll is refused, by a server that is there.
  #connect() { return this.#poll([], 0).catch((error) => { if (error.status !== 400) throw error }) }

  #say(message) { if (this.live) this.onData(JSON.stringify(message)) }

  async #poll(channels, wait, signal = this.aborter.signal) {
    const query = new URLSearchParams([['wait', wait], ...channels.map((name) => ['channel', name])])
    query.set('position', channels.map((name) => this.#places.get(name)).filter(Boolean))
    const answer = await this.ask(`/poll?${query}`, { signal, headers: this.token ? { Authorization: `Bearer ${this.token}` } : {} })
    const reply = await answer.json()
    signal.throwIfAborted()
    for (const name of channels) this.#places.set(name, this.#places.get(name) ?? '')
    for (const place of reply.position.split(',')) if (place) this.#places.set(unescape(place.split(':')[0]), place)
    return reply
  }

  async #subscribe({ channel, recover = false, epoch, offset }) {
    if (recover) this.#places.set(channel, `${escape(channel)}:${escape(epoch)}:${offset}`)
    const { messages, recovered = {} } = await this.#poll([channel], 0).catch((error) => {
      this.#places.delete(channel)
      throw error
    })
    const [, now, top] = this.#places.get(channel).split(':')
    const back = Boolean(recovered[channel])
    return {
      recoverable: Boolean(now), epoch: now && unescape(now), offset: back ? offset : Number(top),
      was_recovering: recover, recovered: back, publications: messages,
    }
  }

  async #run() {
    this.#round?.abort()
    const { signal } = this.#round = new AbortController()
    this.aborter.signal.addEventListener('abort', () => this.#round.abort())
    while (this.#places.size && !signal.aborted) {
      const start = Date.now()
      try {
        const { messages, recovered = {} } = await this.#poll([...this.#places.keys()], this.#wait, signal)
        for (const channel in recovered) if (!recovered[channel]) this.#say({ push: { channel, unsubscribe: { code: 2500 } } })
        for (const { channel, ...pub } of messages) this.#say({ push: { channel, pub } })
        if (!this.#wait) await new Promise((resolve) => setTimeout(resolve, POLL_PAUSE))
      } catch (error) {
        if (signal.aborted) return
        const took = Math.floor((Date.now() - start) / 1000)
        // Somebody on the way does not let a request take so long.
        if (this.#wait && took && !error.code) this.#wait = Math.min(this.#wait, took) - 1
        else return this.lost(error)
      }
    }
  }
}

// In the order in which they are tried.
const links = { websocket: SocketLink, http_stream: StreamLink, sse: EventLink, poll: PollLink }

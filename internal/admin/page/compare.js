// The page that compares transports: it publishes, receives every message over four
// of them, and shows what that took. From top to bottom: what is measured; the lanes,
// one for each transport; the chart; then what starts and steers them.

import { Client } from '/client.js'

const KEPT = 400 // samples of a lane that its median is of
const SHOWN = 90 // of them in the chart
const KNOWN = 4000 // messages whose sending time is remembered; later ones are lost
const WAIT = 25 // seconds of a long poll
const HEADS = 4096 // bytes of headers that nobody exceeds; more would be a proxy's

const $ = (id) => document.getElementById(id)
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const encoder = new TextEncoder()
const bytesOf = (text) => encoder.encode(text).length

// ------------------------------------------------------------------ what is measured

const sent = new Map() // by number: {at, bytes}
let count = 0
let requestBytes = 0 // of a request of this browser with an empty path

// measureRequest asks the server how long the head of a request of this browser is,
// which no page can see.
async function measureRequest(headers) {
  const path = '/admin/request'
  const answer = await fetch(path, { headers, cache: 'no-store' })
  requestBytes = Math.min((await answer.json()).bytes - bytesOf(path), HEADS)
}

// headBytes of a response, as HTTP/1.1 writes it.
function headBytes(answer) {
  let size = bytesOf(`HTTP/1.1 ${answer.status} OK\r\n\r\n`)
  for (const [name, value] of answer.headers) size += bytesOf(`${name}: ${value}\r\n`)
  return size
}

// frameBytes of a WebSocket message (RFC 6455, 5.2), before compression.
const frameBytes = (size) => size + (size < 126 ? 2 : size < 65_536 ? 4 : 10)

// chunkBytes of one chunk (RFC 9112, 7.1).
const chunkBytes = (size) => size + size.toString(16).length + 4

// Lane is what one transport has brought, and what that took.
class Lane {
  samples = [] // milliseconds, the newest last
  received = 0
  requests = 0
  bytes = 0
  payload = 0
  fault = ''

  constructor(title, what) {
    this.title = title
    this.what = what
  }

  clear() { Object.assign(this, { samples: [], received: 0, bytes: 0, payload: 0 }) }

  take(data) {
    const message = sent.get(data?.n)
    if (!message) return
    this.received++
    this.payload += message.bytes
    this.samples.push(performance.now() - message.at)
    if (this.samples.length > KEPT) this.samples.shift()
  }

  quantile(q) {
    const sorted = [...this.samples].sort((a, b) => a - b)
    return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]
  }
}

const lanes = {
  websocket: new Lane('WebSocket', 'one connection, both ways'),
  sse: new Lane('Server-Sent Events', 'one response that does not end'),
  long: new Lane('Long poll', 'a request that waits for news'),
  short: new Lane('Short poll', 'a request every now and then'),
}

// ------------------------------------------------------------------------ the lanes

// Each start… resolves once what is published from then on arrives. signal ends it.

function startWebSocket(lane, { channel, token }, signal) {
  class Counted extends WebSocket {
    constructor(...args) {
      super(...args)
      lane.requests++
      this.addEventListener('message', ({ data }) => { lane.bytes += frameBytes(bytesOf(data)) })
    }

    send(text) {
      super.send(text)
      lane.bytes += frameBytes(bytesOf(text)) + 4 // the mask
    }
  }
  const client = new Client({ name: 'compare', token, transports: ['websocket'], WebSocket: Counted })
  signal.addEventListener('abort', () => client.disconnect())
  const sub = client.subscribe(channel, ({ data }) => lane.take(data))
  return new Promise((resolve, reject) => {
    sub.on('subscribed', resolve)
    client.on('state', ({ state, reason }) => {
      lane.fault = state === 'waiting' || state === 'disconnected' ? `not connected: ${reason}` : ''
      if (state === 'disconnected') reject(new Error(reason))
      if (lane.fault) resolve() // the others go on without it
    })
    client.connect()
  })
}

function startEvents(lane, { channel, token }, signal) {
  const query = new URLSearchParams({ channel, ...token && { token } })
  const source = new EventSource(`/sse?${query}`)
  signal.addEventListener('abort', () => source.close())
  source.onmessage = ({ data, lastEventId }) => {
    lane.bytes += chunkBytes(bytesOf(`${lastEventId && `id: ${lastEventId}\n`}data: ${data}\n\n`))
    lane.take(JSON.parse(data).data)
  }
  return new Promise((resolve) => {
    source.addEventListener('subscribed', resolve)
    source.onopen = () => {
      lane.requests++
      lane.fault = ''
    }
    source.onerror = () => {
      lane.fault = 'not connected'
      resolve()
    }
  })
}

// startPolls polls with so many seconds to wait, and a pause that pause() gives.
function startPolls(lane, { channel, token }, signal, wait, pause) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {}
  let position = ''
  const poll = async (seconds) => {
    const path = `/poll?${new URLSearchParams({ channel, wait: seconds, ...position && { position } })}`
    lane.requests++
    const answer = await fetch(path, { headers, signal, cache: 'no-store' })
    const text = await answer.text()
    lane.bytes += requestBytes + bytesOf(path) + headBytes(answer) + bytesOf(text)
    const reply = JSON.parse(text)
    if (!answer.ok) throw new Error(reply.error?.message ?? `status ${answer.status}`)
    position = reply.position
    for (const { data } of reply.messages) lane.take(data)
    lane.fault = ''
  }
  const run = async () => {
    while (!signal.aborted) {
      await poll(wait).catch((error) => {
        if (!signal.aborted) lane.fault = error.message
      })
      await sleep(lane.fault ? 1000 : pause())
    }
  }
  return poll(0).catch((error) => { lane.fault = error.message }).then(() => { run() })
}

// ------------------------------------------------------------------------- the chart

const FROM = 0.3 // milliseconds
const TO = 15_000
const TICKS = [[1, '1 ms'], [10, '10 ms'], [100, '100 ms'], [1000, '1 s'], [10_000, '10 s']]

const across = (ms) => Math.log(Math.min(Math.max(ms, FROM), TO) / FROM) / Math.log(TO / FROM)

function svg(tag, attributes, text = '') {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag)
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value)
  element.textContent = text
  return element
}

// up scatters points so that those of the same delay can be told apart, evenly and
// always the same way for the same point.
const up = (i) => 0.14 + 0.72 * ((i * 0.618_034) % 1)

const number = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })

function time(ms) {
  if (ms === undefined) return '–'
  if (ms < 9.95) return `${ms.toFixed(1)}\u00a0ms`
  return ms < 1000 ? `${number.format(ms)}\u00a0ms` : `${(ms / 1000).toFixed(ms < 9950 ? 1 : 0)}\u00a0s`
}

// View shows the lanes.
class View {
  #rows = []

  constructor() {
    for (const lane of Object.values(lanes)) {
      const element = $('lane').content.firstElementChild.cloneNode(true)
      const part = (name) => element.querySelector(`.${name}`)
      element.querySelector('h3').textContent = lane.title
      $('lanes').append(element)
      this.#rows.push({ lane, element, part, strip: part('strip') })
    }
  }

  show() {
    $('sent').textContent = number.format(count)
    this.#axis()
    const most = Math.max(1, ...Object.values(lanes).map((lane) => (lane.received ? lane.bytes / lane.received : 0)))
    for (const row of this.#rows) {
      this.#numbers(row, most)
      this.#strip(row)
    }
    $('verdict').textContent = verdict()
  }

  #axis() {
    const { clientWidth: width } = $('axis')
    if (this.width === width) return
    this.width = width
    $('axis').replaceChildren(...TICKS.map(([ms, label]) => svg('text', { x: (across(ms) * width).toFixed(1), y: 14 }, label)))
  }

  #numbers({ lane, element, part }, most) {
    const { received, requests, bytes, payload } = lane
    const set = (name, text) => { if (part(name).textContent !== text) part(name).textContent = text }
    element.toggleAttribute('data-fault', lane.fault !== '')
    element.querySelector('.what p').textContent = lane.fault || lane.what
    set('median', time(lane.quantile(0.5)))
    set('tail', received ? `95\u00a0% within ${time(lane.quantile(0.95))}` : '')
    set('count', number.format(requests))
    set('ratio', received ? `for ${number.format(received)} message${received === 1 ? '' : 's'}` : '')
    set('each', received ? number.format(bytes / received) : '–')
    set('split', received ? `${number.format(payload / received)} are the message` : '')
    const share = (value) => `${(received ? 100 * Math.max(0, value) / received / most : 0).toFixed(2)}%`
    part('payload').style.width = share(payload)
    part('overhead').style.width = share(bytes - payload)
  }

  #strip({ lane, strip }) {
    const { clientWidth: width, clientHeight: height } = strip
    const lines = TICKS.map(([ms]) => svg('line', { class: 'grid', x1: across(ms) * width, x2: across(ms) * width, y1: 0, y2: height }))
    const first = Math.max(0, lane.samples.length - SHOWN)
    const points = lane.samples.slice(first).map((ms, i, all) => svg('circle', {
      class: 'point', r: 3, cx: (across(ms) * width).toFixed(1), cy: (up(lane.received - all.length + i) * height).toFixed(1),
      'fill-opacity': (0.16 + 0.6 * (i + 1) / all.length).toFixed(2),
    }))
    const median = lane.quantile(0.5)
    const middle = median === undefined ? [] : [svg('line', {
      class: 'middle', x1: across(median) * width, x2: across(median) * width, y1: 4, y2: height - 4,
    })]
    strip.replaceChildren(...lines, ...points, ...middle)
    strip.setAttribute('aria-label', median === undefined ? 'no message yet' : `delays around ${time(median)}`)
  }
}

// verdict says what the numbers come to, once there are enough of them.
function verdict() {
  const { websocket, long, short } = lanes
  if ([websocket, long, short].some((lane) => lane.received < 10 || lane.fault)) return ''
  const each = (lane) => lane.bytes / lane.received
  const times = (a, b) => {
    const ratio = a / b
    return ratio < 10 ? ratio.toFixed(1) : number.format(ratio)
  }
  return `Beside WebSocket, a message takes ${times(short.quantile(0.5), websocket.quantile(0.5))} times as long over short poll, `
    + `and ${times(each(long), each(websocket))} times the bytes over long poll.`
}

// ------------------------------------------------------------------- starting and steering

const chosen = (name) => Number(document.querySelector(`[name="${name}"]:checked`).value)

const random = (length) => {
  let text = ''
  while (text.length < length) text += Math.random().toString(36).slice(2)
  return text.slice(0, length)
}

const view = new View()
let paused = false
let aborter = new AbortController()

function state(name, text) {
  document.body.dataset.state = name
  $('state').textContent = text
}

// publishing sends until it is ended. Pauses are uneven, so that they do not march in
// step with the short polls.
async function publishing(client, channel, signal) {
  while (!signal.aborted) {
    await sleep(1000 / chosen('rate') * (0.5 + Math.random()))
    if (paused || document.hidden || signal.aborted) continue
    const data = { n: ++count, pad: '' }
    data.pad = random(Math.max(0, chosen('size') - bytesOf(JSON.stringify(data))))
    sent.set(data.n, { at: performance.now(), bytes: bytesOf(JSON.stringify(data)) })
    sent.delete(data.n - KNOWN)
    client.publish(channel, data).catch((error) => {
      if (!signal.aborted) state('failed', `not published: ${error.message}`)
    })
  }
}

async function start(channel, token) {
  aborter.abort()
  aborter = new AbortController()
  const { signal } = aborter
  const target = { channel, token }
  state('starting', 'connecting…')
  const client = new Client({ name: 'compare', token })
  signal.addEventListener('abort', () => client.disconnect())
  const allowed = new Promise((resolve, reject) => {
    client.on('state', ({ state: now, reason }) => {
      if (now === 'connected') resolve()
      if (now === 'disconnected') reject(new Error(reason))
    })
  })
  client.connect()
  try {
    await allowed
    await measureRequest(token ? { Authorization: `Bearer ${token}` } : {})
    await Promise.all([
      startWebSocket(lanes.websocket, target, signal),
      startEvents(lanes.sse, target, signal),
      startPolls(lanes.long, target, signal, WAIT, () => 0),
      startPolls(lanes.short, target, signal, 0, () => chosen('every')),
    ])
    await client.publish(channel, { begin: true })
  } catch (error) {
    if (!signal.aborted) ask(error.message)
    return
  }
  $('access').hidden = true
  clear()
  run(paused)
  publishing(client, channel, signal)
}

// ask for what the server wants before it lets anybody in.
function ask(why) {
  aborter.abort()
  state('failed', 'not allowed')
  $('access').hidden = false
  $('access-why').textContent = `It says: ${why}. Outside dev mode a client needs a token, and a namespace that lets it subscribe and publish; with history nothing is missed between two polls.`
}

function clear() {
  for (const lane of Object.values(lanes)) {
    lane.clear()
    lane.requests = lane === lanes.websocket || lane === lanes.sse ? 1 : 0
  }
  sent.clear()
  count = 0
}

function run(pause) {
  paused = pause
  $('pause').textContent = paused ? 'Go on' : 'Pause'
  state(paused ? 'paused' : 'running', paused ? 'paused' : 'measuring')
}

$('pause').addEventListener('click', () => run(!paused))
$('clear').addEventListener('click', clear)
$('access').addEventListener('submit', (event) => {
  event.preventDefault()
  start($('channel').value.trim(), $('token').value.trim())
})
$('channel').value = `compare-${random(8)}`
setInterval(() => { if (!document.hidden) view.show() }, 150)
view.show()
start($('channel').value, '')

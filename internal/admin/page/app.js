// The page of a Fanfare server. From top to bottom: Feed reads the live numbers;
// then the parts of the page, each with its elements; last, what is shown to whom.

import { Client } from '/client.js'

// Limits of what the page keeps and asks for.
const MAX_SUBSCRIPTIONS = 50
const MAX_ROWS = 500 // of the message stream
const MAX_SHOWN = 8000 // characters of one message
const MAX_MEMBERS = 100 // rows of the presence list
const HISTORY_SECONDS = 90 // of the sparklines
const MAX_CHANNELS = 1000 // rows of the list of channels

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

// ------------------------------------------------------------ asking the server

let apiKey = ''
let csrf = '' // of whoever is signed in with the password

const keyHeaders = () => (apiKey ? { 'X-API-Key': apiKey } : {})

const ask = (path, signal) => fetch(path, { headers: keyHeaders(), cache: 'no-store', signal })

// Feed reads /admin/live, a line per second, for as long as it is wanted. It
// calls snapshot, down (once per failed try) and denied (and then ends).
class Feed {
  static SILENCE = 6000 // milliseconds without a line after which the server is down

  #abort = new AbortController()
  #ended = false

  constructor(on) { this.on = on }

  async run() {
    while (!this.#ended) {
      let wait = 1000
      try {
        wait = await this.#read()
      } catch {
        if (!this.#ended) this.on.down()
      }
      if (!this.#ended) await sleep(wait)
    }
  }

  stop() {
    this.#ended = true
    this.#abort.abort()
  }

  // read ends when the stream does; it returns how long to wait before the next.
  async #read() {
    this.#abort = new AbortController()
    let timer
    const patience = () => {
      clearTimeout(timer)
      timer = setTimeout(() => this.#abort.abort(), Feed.SILENCE)
    }
    try {
      patience()
      const answer = await ask('/admin/live', this.#abort.signal)
      if (answer.status === 401 || answer.status === 403) {
        this.#ended = true
        this.on.denied()
        return 0
      }
      if (!answer.ok) {
        this.on.crowded()
        return 5000
      }
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader()
      for (let rest = ''; ;) {
        const { value, done } = await reader.read()
        if (done) throw new Error('the stream ended')
        patience()
        const lines = (rest + value).split('\n')
        rest = lines.pop()
        for (const line of lines) if (!this.#ended) this.on.snapshot(JSON.parse(line))
      }
    } finally {
      clearTimeout(timer)
    }
  }
}

// ------------------------------------------------------------- words and elements

const $ = (id) => document.getElementById(id)

function make(tag, className, ...content) {
  const element = document.createElement(tag)
  if (className) element.className = className
  element.append(...content)
  return element
}

// say puts a text wherever the page has a place for it.
function say(name, text) {
  for (const place of document.querySelectorAll(`[data-text="${name}"]`)) {
    if (place.textContent !== text) place.textContent = text
  }
}

const plain = new Intl.NumberFormat('en')
const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 })

function count(n) {
  if (n > 0 && n < 10) return String(Math.round(n * 10) / 10)
  return n < 1_000_000 ? plain.format(Math.round(n)) : compact.format(n)
}

const some = (n, one) => `${count(n)} ${one}${n === 1 ? '' : 's'}`

function duration(seconds) {
  const s = Math.floor(seconds)
  if (s < 60) return `${s} s`
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor(s % 3600 / 60)} min`
  return `${Math.floor(s / 86400)} d ${Math.floor(s % 86400 / 3600)} h`
}

function clock(ms) {
  const d = new Date(ms)
  const two = (n) => String(n).padStart(2, '0')
  return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}.${String(d.getMilliseconds()).padStart(3, '0')}`
}

function timeElement(ms) {
  const element = make('time', '', clock(ms))
  element.dateTime = new Date(ms).toISOString()
  return element
}

// hue gives a name always the same one of eight colours (FNV-1a).
function hue(name) {
  let hash = 0x811c9dc5
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193)
  return `hue-${hash >>> 29}`
}

const reason = (error) => (error.code ? `${error.message} (${error.code})` : error.message)

// pretty appends a JSON value to out, on one line where it is short.
function pretty(out, value, indent = '') {
  const mark = (text) => out.append(make('span', 'j-mark', text))
  if (value === null || typeof value !== 'object') {
    const kind = typeof value === 'string' ? 'string' : typeof value === 'number' ? 'number' : 'word'
    out.append(make('span', `j-${kind}`, JSON.stringify(value)))
    return
  }
  const list = Array.isArray(value)
  const entries = Object.entries(value)
  const short = JSON.stringify(value).length <= 88
  const inner = short ? '' : `${indent}  `
  const pad = short && !list && entries.length ? ' ' : ''
  mark((list ? '[' : '{') + pad)
  entries.forEach(([key, item], i) => {
    if (!short) out.append(`\n${inner}`)
    if (!list) {
      out.append(make('span', 'j-field', JSON.stringify(key)))
      mark(': ')
    }
    pretty(out, item, inner)
    if (i < entries.length - 1) mark(short ? ', ' : ',')
  })
  if (!short) out.append(`\n${indent}`)
  mark(pad + (list ? ']' : '}'))
}

function dataElement(data) {
  const out = make('pre', 'data')
  const text = JSON.stringify(data, null, 2) ?? ''
  if (text.length > MAX_SHOWN) out.append(text.slice(0, MAX_SHOWN), make('span', 'j-mark', `\n… ${plain.format(text.length)} characters in all`))
  else pretty(out, data)
  return out
}

// -------------------------------------------------------------------- the numbers

// Numbers shows the counts and draws each over the last HISTORY_SECONDS.
class Numbers {
  #samples = [] // {time, values}
  #last = null
  #stats

  constructor() {
    this.#stats = [
      this.#stat('connections', 'Connections'),
      this.#stat('channels', 'Channels'),
      this.#stat('subscriptions', 'Subscriptions'),
      this.#stat('published', 'Published / s'),
      this.#stat('delivered', 'Delivered / s'),
    ]
  }

  #stat(name, title) {
    const element = $('stat').content.firstElementChild.cloneNode(true)
    element.dataset.stat = name
    element.querySelector('h3').textContent = title
    $('stats').append(element)
    const part = (selector) => element.querySelector(selector)
    return { name, value: part('.value'), sub: part('.sub'), line: part('.line'), area: part('.area') }
  }

  take(now) {
    const last = this.#last
    if (last?.time === now.time) return
    this.#last = now
    // Of another process, or after a pause, a difference says nothing.
    const seconds = last && last.uid === now.uid ? (now.time - last.time) / 1000 : 0
    const rate = (name) => (seconds > 0 ? Math.max(0, now[name] - last[name]) / seconds : null)
    const values = {
      connections: now.connections, channels: now.channels, subscriptions: now.subscriptions,
      published: rate('published'), delivered: rate('delivered'),
    }
    this.#samples.push({ time: now.time, values })
    while (this.#samples[0].time < now.time - (HISTORY_SECONDS + 2) * 1000) this.#samples.shift()
    const subs = {
      connections: some(now.users, 'user'), channels: this.#peak('channels'), subscriptions: this.#peak('subscriptions'),
      published: `${count(now.published)} in all`, delivered: `${count(now.delivered)} in all`,
    }
    for (const stat of this.#stats) {
      stat.value.textContent = count(values[stat.name] ?? 0)
      stat.sub.textContent = subs[stat.name]
      this.#draw(stat)
    }
  }

  #peak(name) {
    return `peak ${count(Math.max(...this.#samples.map((s) => s.values[name])))}`
  }

  // draw makes a line per unbroken run of samples; a pause of the server is a gap.
  #draw(stat) {
    const end = this.#samples.at(-1).time
    const top = Math.max(1, ...this.#samples.map((s) => s.values[stat.name] ?? 0)) * 1.1
    let line = ''
    let area = ''
    let start = null
    let previous = null
    const close = () => { if (previous) area += `L${previous.x} 40L${start} 40Z` }
    for (const { time, values } of this.#samples) {
      const v = values[stat.name]
      if (v === null) continue
      const x = (100 - (end - time) / (HISTORY_SECONDS * 10)).toFixed(2)
      const y = (38 - 36 * v / top).toFixed(2)
      if (previous && time - previous.time < 3500) {
        line += `L${x} ${y}`
        area += `L${x} ${y}`
      } else {
        close()
        start = x
        line += `M${x} ${y}`
        area += `M${x} 40L${x} ${y}`
      }
      previous = { time, x }
    }
    close()
    stat.line.setAttribute('d', line)
    stat.area.setAttribute('d', area)
  }
}

// ----------------------------------------------------------------- the channels

// ChannelList shows live channels. The first of them come with every snapshot;
// a filter, or more of them, has to be asked for.
class ChannelList {
  #rows = new Map() // by channel: {row, number}
  #wanted = 0 // rows asked for beyond the snapshot's; 0: none
  #busy = false
  #rest = 0 // not to be asked for again before this time, where listing is slow
  #typing = 0

  constructor(onPick) {
    this.onPick = onPick
    $('filter').addEventListener('input', () => {
      clearTimeout(this.#typing)
      this.#typing = setTimeout(() => this.#refresh(), 150)
    })
    $('more').addEventListener('click', () => {
      this.#wanted = Math.min(MAX_CHANNELS, Math.max(this.#wanted, this.#rows.size) + 200)
      this.#refresh()
    })
  }

  take(snapshot) {
    say('channels', count(snapshot.channels))
    if (this.#pattern() || this.#wanted) {
      if (performance.now() > this.#rest) this.#refresh()
    } else this.#show(snapshot.list)
  }

  select(channel) {
    for (const [name, { row }] of this.#rows) row.classList.toggle('selected', name === channel)
    this.selected = channel
  }

  #pattern() {
    const text = $('filter').value.trim()
    return !text || /[*?]/.test(text) ? text : `*${text}*`
  }

  async #refresh() {
    if (this.#busy) return
    this.#busy = true
    const pattern = this.#pattern()
    const start = performance.now()
    try {
      const answer = await ask(`/admin/channels?${new URLSearchParams({ pattern, limit: this.#wanted || 100 })}`)
      if (answer.ok) this.#show(await answer.json())
    } catch {
      // The feed says that the server is down.
    } finally {
      this.#busy = false
      this.#rest = performance.now() + 10 * (performance.now() - start)
    }
    if (pattern !== this.#pattern()) this.#refresh()
  }

  // show keeps rows that stay, so that focus and selection do.
  #show({ channels, more }) {
    const body = $('channels')
    const names = new Set(channels.map((c) => c.channel))
    for (const [name, { row }] of this.#rows) {
      if (names.has(name)) continue
      row.remove()
      this.#rows.delete(name)
    }
    channels.forEach(({ channel, subscribers }, i) => {
      const known = this.#rows.get(channel) ?? this.#add(channel)
      known.number.textContent = count(subscribers)
      if (body.children[i] !== known.row) body.insertBefore(known.row, body.children[i] ?? null)
    })
    $('channels-empty').hidden = channels.length > 0
    $('channels-empty').textContent = this.#pattern() ? 'No live channel has such a name.' : 'No channel has a subscriber yet. Subscribe in the console, or from your own page.'
    $('more').hidden = !more || this.#wanted >= MAX_CHANNELS
  }

  #add(channel) {
    const button = make('button', hue(channel), channel)
    button.type = 'button'
    button.title = `Subscribe to ${channel} in the console`
    button.addEventListener('click', () => this.onPick(channel))
    const number = make('td', 'number')
    const row = make('tr', channel === this.selected ? 'selected' : '', make('td', '', button), number)
    row.dataset.channel = channel
    const known = { row, number }
    this.#rows.set(channel, known)
    return known
  }
}

// ------------------------------------------------------------------- the stream

// Stream shows the newest MAX_ROWS messages and events. Rows are put in together,
// a few times a second, so that a flood of messages costs no more than is shown.
class Stream {
  #queue = []
  #dropped = 0
  #timer = 0

  constructor() {
    $('latest').addEventListener('click', () => this.#follow())
    $('log').addEventListener('scroll', () => { if (this.#atEnd()) $('latest').hidden = true })
    $('clear').addEventListener('click', () => {
      this.#queue = []
      $('log').replaceChildren()
      $('latest').hidden = true
    })
  }

  // add takes a function that makes the row, called only if it is to be shown.
  add(row) {
    this.#queue.push(row)
    if (this.#queue.length > MAX_ROWS) {
      this.#queue.shift()
      this.#dropped++
    }
    this.#timer ||= setTimeout(() => this.#flush(), 40)
  }

  event(kind, mark, ...content) {
    const now = Date.now()
    this.add(() => {
      const sign = make('span', 'mark', mark)
      sign.ariaHidden = 'true'
      const row = make('li', `event ${kind}`, sign, make('span', '', ...content), timeElement(now))
      row.dataset.kind = 'event'
      return row
    })
  }

  #flush() {
    this.#timer = 0
    const log = $('log')
    const stay = !this.#atEnd()
    if (this.#dropped) {
      const dropped = this.#dropped
      this.#dropped = 0
      this.#queue.unshift(() => make('li', 'event', make('span', 'mark', '⋯'), `${some(dropped, 'row')} came too fast to be shown`))
    }
    log.append(...this.#queue.map((row) => row()))
    this.#queue = []
    while (log.children.length > MAX_ROWS) log.firstElementChild.remove()
    if (stay) $('latest').hidden = false
    else this.#follow()
  }

  #atEnd() {
    const log = $('log')
    return log.scrollHeight - log.scrollTop - log.clientHeight < 60
  }

  #follow() {
    $('log').scrollTop = $('log').scrollHeight
    $('latest').hidden = true
  }
}

// messageRow shows one publication.
function messageRow({ channel, data, offset, epoch, tags, info, time, recovered }, arrived, own) {
  time ||= arrived
  const meta = make('div', 'meta', make('span', 'channel', channel))
  if (offset) meta.append(make('span', 'offset', `#${offset}`))
  if (offset && epoch) {
    const short = make('span', 'epoch', `epoch ${epoch.slice(0, 4)}`)
    short.title = `epoch ${epoch}`
    meta.append(short)
  }
  if (recovered) meta.append(make('span', 'badge', 'recovered'))
  for (const [key, value] of Object.entries(tags)) meta.append(make('span', 'tag', `${key}=${value}`))
  meta.append(make('span', 'by', `by ${info ? who(info, own) : 'the server API'}`), timeElement(time))
  const row = make('li', `message ${hue(channel)}${recovered ? ' recovered' : ''}`, meta, dataElement(data))
  Object.assign(row.dataset, { kind: 'message', channel, offset: offset ?? '', epoch, time, recovered })
  return row
}

function who({ user, client }, own) {
  if (client === own) return user ? `you (${user})` : 'you'
  return `${user || 'anonymous'} · ${client.slice(0, 6)}`
}

// ------------------------------------------------------------ the chosen channel

// About shows where the chosen channel stands, who is there, and how to use it
// from elsewhere.
class About {
  #client
  #channel = ''
  #timer = 0
  #tab = 'curl'

  constructor(client, sample) {
    this.#client = client
    this.sample = sample
    const tabs = [...document.querySelectorAll('[role="tab"]')]
    tabs.forEach((tab, i) => {
      tab.addEventListener('click', () => this.#choose(tab, tabs))
      tab.addEventListener('keydown', (event) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key]
        if (!step) return
        const next = tabs[(i + step + tabs.length) % tabs.length]
        this.#choose(next, tabs)
        next.focus()
      })
    })
    $('copy').addEventListener('click', () => this.#copy())
    setInterval(() => { if (!document.hidden) this.#readMembers() }, 10_000)
  }

  select(channel) {
    this.#channel = channel
    $('members').replaceChildren()
    this.position()
    this.membersSoon()
    this.snippet()
  }

  position() {
    const sub = this.#client.subscriptions.get(this.#channel)
    say('offset', sub?.position ? String(sub.position.offset) : '–')
    say('epoch', sub?.position?.epoch.slice(0, 6) || '–')
    say('recoverable', sub ? (sub.recoverable ? 'on' : 'off') : '–')
  }

  // membersSoon reads the list anew, once for a burst of joins and leaves.
  membersSoon() {
    this.#timer ||= setTimeout(() => {
      this.#timer = 0
      this.#readMembers()
    }, 120)
  }

  async #readMembers() {
    const channel = this.#channel
    if (!channel) return
    let members = []
    let note = ''
    try {
      if (this.#client.state !== 'connected') throw new Error()
      members = Object.values(await this.#client.presence(channel))
      if (!members.length) note = 'Nobody is there.'
    } catch (error) {
      note = {
        103: 'You may not read who is there.', 108: 'This channel keeps no presence: it is off in its namespace.',
      }[error.code] ?? (this.#client.state === 'connected' ? reason(error) : 'Connect to see who is there.')
    }
    if (channel !== this.#channel) return
    this.#showMembers(members, note)
  }

  #showMembers(members, note) {
    const own = this.#client.id
    members.sort((a, b) => (b.client === own) - (a.client === own) || a.user.localeCompare(b.user) || a.client.localeCompare(b.client))
    $('members').replaceChildren(...members.slice(0, MAX_MEMBERS).map((info) => {
      const name = info.user || 'anonymous'
      const face = make('span', 'face', name[0].toUpperCase())
      face.ariaHidden = 'true'
      const row = make('li', hue(info.user || info.client), face, make('span', 'who', name))
      if (info.client === own) row.append(make('span', 'pill', 'you'))
      row.append(make('span', 'client', info.client.slice(0, 6)))
      row.dataset.client = info.client
      return row
    }))
    if (members.length > MAX_MEMBERS) note = `and ${some(members.length - MAX_MEMBERS, 'more session')}`
    say('present', count(members.length))
    $('members-note').textContent = note
    $('members-note').hidden = !note
  }

  #choose(chosen, tabs) {
    for (const tab of tabs) {
      tab.ariaSelected = String(tab === chosen)
      tab.tabIndex = tab === chosen ? 0 : -1
    }
    this.#tab = chosen.id.replace('tab-', '')
    $('snippet').setAttribute('aria-labelledby', chosen.id)
    this.snippet()
  }

  snippet() {
    const channel = this.#channel || 'news'
    const text = snippets[this.#tab](channel, this.sample())
    $('snippet').querySelector('code').textContent = text
  }

  async #copy() {
    const code = $('snippet').querySelector('code')
    try {
      await navigator.clipboard.writeText(code.textContent)
      $('copy').textContent = 'Copied'
    } catch { // no clipboard outside secure contexts
      getSelection().selectAllChildren(code)
      $('copy').textContent = 'Selected'
    }
    setTimeout(() => { $('copy').textContent = 'Copy' }, 1500)
  }
}

let dev = false

const quote = (text) => `'${text.replaceAll("'", `'\\''`)}'`

const snippets = {
  curl: (channel, data) => `curl ${location.origin}/api/publish \\
  -H ${dev ? "'X-API-Key: dev'" : '"X-API-Key: $FANFARE_API_KEY"'} \\
  -d ${quote(JSON.stringify({ channel, data }))}`,

  js: (channel) => `import { Client } from
  '${location.origin}/client.js'

const client = new Client({
  url: '${location.origin}',${dev ? '' : `
  token: '…',`}
})
client.subscribe(${quoteJS(channel)}, (message) => {
  console.log(message.offset, message.data)
})
client.connect()`,

  sdk: (channel) => `import { Centrifuge } from 'centrifuge'

const client = new Centrifuge(
  '${socketURL()}'${dev ? '' : `,
  { token: '…' }`},
)
const sub = client.newSubscription(${quoteJS(channel)})
sub.on('publication', (ctx) => {
  console.log(ctx.offset, ctx.data)
})
sub.subscribe()
client.connect()`,

  cli: (channel, data) => `fanfare subscribe ${quote(channel)}

fanfare publish ${quote(channel)} \\
  ${quote(JSON.stringify(data))}`,
}

const quoteJS = (text) => `'${JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")}'`

function socketURL() {
  return `${location.origin.replace(/^http/, 'ws')}/connection/websocket`
}

// ------------------------------------------------------------------ the console

const transports = { websocket: 'WebSocket', http_stream: 'HTTP stream', sse: 'Server-Sent Events', poll: 'long poll' }

// Console ties a client to the page. To the client's states it adds one: cut, when
// it was disconnected to show what comes back.
class Console {
  #client = new Client({ name: 'page', token: () => $('token').value.trim() })
  #cut = null // {until} in milliseconds; 0: until it is restored
  #cutTimer = 0
  #lostAt = 0
  #stream = new Stream()
  #about
  #selected = ''
  #countdown = 0

  constructor() {
    this.#about = new About(this.#client, () => this.#data() ?? { text: 'hello' })
    this.channels = new ChannelList((channel) => this.#join(channel))
    this.#listen()
    this.#controls()
    this.#about.snippet()
  }

  // open starts a console that nobody has used yet.
  open() {
    this.#about.snippet()
    if (dev) this.#client.connect()
    else $('identity').open = true
  }

  close() { this.#disconnect() }

  // hurry tries again when there is reason to hope.
  hurry() { if (this.#client.state === 'waiting') this.#client.connect() }

  note(kind, mark, text) { this.#stream.event(kind, mark, text) }

  #listen() {
    const on = (type, handle) => this.#client.on(type, handle)
    on('state', (detail) => this.#state(detail))
    on('subscriptions', () => this.#chips())
    on('subscribed', (detail) => this.#subscribed(detail))
    on('publication', (detail) => {
      const arrived = Date.now()
      const own = this.#client.id
      this.#stream.add(() => messageRow(detail, arrived, own))
      if (detail.channel === this.#selected) this.#about.position()
    })
    for (const [type, mark, verb] of [['join', '→', 'joined'], ['leave', '←', 'left']]) {
      on(type, ({ channel, info }) => {
        if (info.client !== this.#client.id) { // of ourselves "Subscribed" says it
          this.#stream.event(type, mark, make('b', '', who(info, '')), ` ${verb} `, make('b', '', channel))
        }
        if (channel === this.#selected) this.#about.membersSoon()
      })
    }
    on('unsubscribed', ({ channel, code, reason: message }) => {
      if (code) this.#stream.event('bad', '✕', make('b', '', channel), `: ${reason({ code, message: message || 'unsubscribed by the server' })}.`, hint(code))
    })
    on('fallback', ({ from, to, reason: why }) => {
      this.#stream.event('bad', '⇣', `${transports[from]} does not work here (${why}); trying ${transports[to]}.`)
    })
  }

  #controls() {
    $('connect').addEventListener('click', () => {
      if (this.#client.state === 'disconnected' && !this.#cut) this.#client.connect()
      else this.#disconnect()
    })
    $('token-form').addEventListener('submit', (event) => {
      event.preventDefault()
      this.#disconnect()
      this.#client.connect()
    })
    $('cut').addEventListener('click', () => {
      if (this.#cut) this.#restore()
      else this.#cutFor(Number($('cut-for').value))
    })
    $('subscribe').addEventListener('submit', (event) => {
      event.preventDefault()
      this.#join($('channel').value.trim())
      $('channel').value = ''
    })
    $('try').addEventListener('click', () => this.#join('news'))
    $('publish').addEventListener('submit', (event) => {
      event.preventDefault()
      this.#publish()
    })
    $('publish').addEventListener('input', () => this.#about.snippet())
    $('data').addEventListener('keydown', (event) => {
      if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) $('publish').requestSubmit()
    })
    this.#state({ state: this.#client.state })
  }

  #cutFor(seconds) {
    this.#cut = { until: seconds > 0 ? Date.now() + seconds * 1000 : 0 }
    if (seconds > 0) this.#cutTimer = setTimeout(() => this.#restore(), seconds * 1000)
    this.#client.disconnect()
  }

  #restore() {
    clearTimeout(this.#cutTimer)
    this.#cut = null
    this.#client.connect()
  }

  // disconnect also ends a cut, of which the client knows nothing.
  #disconnect() {
    clearTimeout(this.#cutTimer)
    const cut = this.#cut
    this.#cut = null
    this.#client.disconnect()
    if (cut) this.#state({ state: 'disconnected' })
  }

  #join(channel) {
    if (!channel) return
    const { subscriptions } = this.#client
    if (!subscriptions.has(channel)) {
      if (subscriptions.size >= MAX_SUBSCRIPTIONS) {
        this.#stream.event('bad', '✕', `This page subscribes to ${MAX_SUBSCRIPTIONS} channels at most.`)
        return
      }
      this.#client.subscribe(channel, { joinLeave: true })
    }
    this.#select(channel)
    if (this.#client.state === 'disconnected' && !this.#cut) this.#client.connect()
  }

  #select(channel) {
    this.#selected = channel
    say('selected', channel || '–')
    this.channels.select(channel)
    this.#about.select(channel)
    this.#chips()
    $('send').disabled = !channel || this.#client.state !== 'connected'
  }

  #state(detail) {
    const { was, code, reason: why } = detail
    const state = this.#cut && detail.state === 'disconnected' ? 'cut' : detail.state
    // The field holds no other token.
    if (state === 'waiting' && (code === 109 || code === 3005)) return this.#expired(code, why)
    if (was === 'connected') this.#lostAt = performance.now()
    $('console').dataset.state = state
    $('connect').textContent = state === 'disconnected' ? 'Connect' : 'Disconnect'
    $('connect').classList.toggle('primary', state === 'disconnected')
    $('cut').disabled = state !== 'connected' && state !== 'cut'
    $('cut').textContent = state === 'cut' ? 'Restore the network' : 'Cut the network'
    $('send').disabled = !this.#selected || state !== 'connected'
    clearInterval(this.#countdown)
    if (state === 'cut') this.#countCut(this.#cut.until)
    else say('state', { connecting: 'connecting…', waiting: 'connection lost, trying again' }[state] ?? state)

    const told = [code || '', why].filter(Boolean).join(' ')
    if (state === 'connected') {
      const { transport, id } = detail
      this.#stream.event('good', '✓', 'Connected', ...id ? [' as ', make('b', '', id.slice(0, 6))] : [], transport === 'websocket' ? '' : ` over ${transports[transport]}`)
      this.#about.membersSoon()
    } else if (state === 'cut') this.#stream.event('bad', '✕', 'The network is cut. What is published now waits on the server.')
    else if (state === 'waiting' && was === 'connected') this.#stream.event('bad', '✕', `The connection was lost${told ? ` (${told})` : ''}.`)
    else if (state === 'disconnected' && told) this.#stream.event('bad', '✕', `The server refused the connection: ${told}.`, hint(code))
  }

  #expired(code, why) {
    this.#stream.event('bad', '✕', `The server refused the connection: ${code} ${why}.`, hint(code))
    this.#client.disconnect()
  }

  #countCut(until) {
    const show = () => say('state', until ? `network cut, back in ${Math.max(0, Math.ceil((until - Date.now()) / 1000))} s` : 'network cut')
    show()
    if (until) this.#countdown = setInterval(show, 250)
  }

  #subscribed({ channel, wasRecovering, recovered, missed, position }) {
    const name = make('b', '', channel)
    const away = this.#lostAt && performance.now() - this.#lostAt
    const pause = away ? ` after ${(away / 1000).toFixed(1)} s away` : ''
    if (!wasRecovering) this.#stream.event('good', '✓', 'Subscribed to ', name, position ? ` at offset ${position.offset}` : '')
    else if (recovered && missed) this.#stream.event('back', '↻', name, `: recovered ${some(missed, 'message')}${pause}`)
    else if (recovered) this.#stream.event('good', '↻', name, `: recovered, nothing was missed${pause}`)
    else this.#stream.event('bad', '✕', name, `: not recovered${pause}. What was missed is no longer kept; it goes on after offset ${position?.offset ?? 0}.`)
    if (channel === this.#selected) {
      this.#about.position()
      this.#about.membersSoon()
    }
  }

  #chips() {
    const { subscriptions } = this.#client
    $('chips').replaceChildren(...[...subscriptions].map(([channel, { state }]) => {
      const chosen = channel === this.#selected
      const waiting = state !== 'subscribed'
      const pick = make('button', hue(channel), channel)
      pick.type = 'button'
      pick.ariaPressed = String(chosen)
      pick.addEventListener('click', () => this.#select(channel))
      const close = make('button', '', '×')
      close.type = 'button'
      close.ariaLabel = `Unsubscribe from ${channel}`
      close.addEventListener('click', () => this.#leave(channel))
      const chip = make('li', `chip${chosen ? ' selected' : ''}${waiting ? ' waiting' : ''}`, pick, close)
      chip.dataset.channel = channel
      return chip
    }))
    $('log-empty').hidden = subscriptions.size > 0
    this.#about.position()
  }

  #leave(channel) {
    const { subscriptions } = this.#client
    subscriptions.get(channel).unsubscribe()
    subscriptions.delete(channel)
    this.#stream.event('', '–', 'Unsubscribed from ', make('b', '', channel))
    if (channel === this.#selected) this.#select(subscriptions.keys().next().value ?? '')
  }

  // data is what the form holds; undefined: it is not JSON.
  #data() {
    const text = $('data').value
    if (document.querySelector('[name="format"]:checked').value === 'text') return text
    try {
      return JSON.parse(text)
    } catch {
      return undefined
    }
  }

  async #publish() {
    const data = this.#data()
    const error = $('publish-error')
    error.textContent = data === undefined ? 'This is not JSON. Correct it, or publish it as text.' : ''
    if (data === undefined || !this.#selected) return
    try {
      await this.#client.publish(this.#selected, data)
    } catch (failure) {
      error.textContent = `Not published: ${reason(failure)}.`
    }
  }
}

// hint says what to do about a refused connection or subscription.
function hint(code) {
  if (code === 102) return ' Is the namespace, the part before the colon, defined?'
  if (code === 103) return ' The namespace does not allow it to clients, or it needs a subscription token.'
  if (code === 101 || code === 3500) return ' Give a connection token above: fanfare token --user 42'
  if (code === 109 || code === 3005) return ' The token has expired; give a new one above.'
  return ''
}

// ---------------------------------------------------------- what is shown to whom

const storedKey = 'fanfare.key'
let board = null
let feed = null
let downSince = 0
let ticking = 0

function server(state) {
  const was = document.body.dataset.server
  document.body.dataset.server = state
  if (state === 'live') {
    downSince = 0
    clearInterval(ticking)
    say('server', 'Live')
    document.title = 'Fanfare'
  } else if (was !== 'down') {
    downSince = Date.now()
    const tick = () => say('server', `Down for ${duration((Date.now() - downSince) / 1000)}`)
    ticking = setInterval(tick, 1000)
    tick()
    document.title = '✕ Fanfare is down'
  }
  return was
}

// Nodes shows how the nodes of a cluster are, if the node is one of several.
class Nodes {
  static EVERY = 3000 // milliseconds between two questions

  #asked = 0
  #asking = false

  // take is told of each snapshot, and asks for the nodes now and then.
  async take({ cluster }) {
    $('nodes').hidden = !cluster
    if (!cluster || this.#asking || Date.now() - this.#asked < Nodes.EVERY) return
    this.#asking = true
    try {
      const answer = await ask('/admin/cluster')
      if (answer.ok) this.#show(await answer.json())
    } catch {
      // the feed tells of a server that does not answer
    } finally {
      this.#asked = Date.now()
      this.#asking = false
    }
  }

  #show({ cluster, nodes }) {
    say('cluster', cluster)
    say('nodes', count(nodes.filter((n) => n.ready).length) + ' of ' + count(nodes.length) + ' ready')
    $('nodes-rows').replaceChildren(...nodes.map((n) => Nodes.#row(n)))
  }

  static #row(n) {
    const logs = n.logs ?? []
    const leads = logs.filter((l) => l.leader === n.name).map((l) => l.name)
    const behind = logs.reduce((sum, l) => sum + Math.max(l.last - l.applied, 0), 0)
    const worst = logs.filter((l) => l.last_error).sort((a, b) => b.last_error_time - a.last_error_time)[0]
    const known = Boolean(n.uid) && !n.silent
    const state = n.silent ? 'does not answer' : n.ready ? 'ready' : n.reason || 'not ready'
    const cells = [
      make('td', '', make('b', '', n.name), n.self ? ' (this one)' : ''),
      make('td', n.ready ? 'state' : 'state bad', state),
      make('td', '', n.version ?? '–'),
      make('td', '', known ? duration(n.uptime ?? 0) : '–'),
      make('td', 'number', known ? count(n.num_clients) : '–'),
      make('td', '', leads.join(', ') || '–'),
      make('td', 'number', known ? count(behind) : '–'),
      make('td', '', worst ? `${clock(worst.last_error_time)} ${worst.name}: ${worst.last_error}` : '–'),
    ]
    return make('tr', '', ...cells)
  }
}

function showBoard() {
  if (document.body.dataset.view === 'board') return
  document.body.dataset.view = 'board'
  $('sign-out').hidden = dev
  board ??= { numbers: new Numbers(), console: new Console(), nodes: new Nodes() }
  board.console.open()
  let uid = ''
  feed = new Feed({
    snapshot: (now) => {
      const was = server('live')
      if (uid && uid !== now.uid) board.console.note('good', '↻', `The server was started again ${duration(now.uptime)} ago.`)
      else if (was === 'down') board.console.note('good', '✓', 'The server answers again.')
      if (was === 'down') board.console.hurry()
      uid = now.uid
      say('version', now.version)
      say('node', now.name)
      say('uptime', duration(now.uptime))
      board.numbers.take(now)
      board.console.channels.take(now)
      board.nodes.take(now)
    },
    down: () => {
      if (server('down') === 'live') board.console.note('bad', '✕', 'The server does not answer.')
    },
    crowded: () => {
      server('live')
      say('server', 'Live, but too many pages are watching')
    },
    denied: () => signOut(),
  })
  feed.run()
}

const post = (path, body) => fetch(path, {
  method: 'POST', cache: 'no-store', headers: { 'Content-Type': 'application/json', 'X-CSRF-Token': csrf }, body: JSON.stringify(body),
})

async function signOut() {
  const leaving = csrf && post('/admin/logout', {}).catch(() => {}) // a server that is down has forgotten it
  csrf = ''
  feed?.stop()
  board?.console.close()
  apiKey = ''
  sessionStorage.removeItem(storedKey)
  await leaving // or the door would be found open
  showDoor()
}

// access asks what this page may show: granted, key, off or peer.
async function access() {
  const answer = await ask('/admin/access')
  if (!answer.ok) throw new Error(`status ${answer.status}`)
  const reply = await answer.json()
  dev = Boolean(reply.dev)
  csrf = reply.csrf ?? ''
  return reply.access
}

const notes = {
  off: 'Console, lists and numbers are off: neither a password nor an API key is configured.',
  peer: 'In dev mode, console, lists and numbers are open on the server’s own machine only.',
}

// showDoor watches whether the server lives, until somebody is let in.
async function showDoor() {
  const { dataset } = document.body
  for (dataset.view = 'none'; dataset.view !== 'board'; await sleep(3000)) {
    try {
      const verdict = await access()
      if (dataset.view === 'board') return
      if (verdict === 'granted') return showBoard()
      dataset.view = 'door'
      server('live')
      askFor(verdict)
      $('door-note').hidden = !notes[verdict]
      $('door-note').textContent = notes[verdict] ?? ''
    } catch {
      dataset.view = 'door'
      server('down')
    }
  }
}

// askFor shows a field for what opens the page, if anything does.
function askFor(verdict) {
  const login = verdict === 'login'
  $('sign-in').hidden = verdict !== 'key' && !login
  $('sign-in').dataset.login = login
  $('sign-in-label').textContent = login ? 'Password' : 'API key'
  $('api-key').autocomplete = login ? 'current-password' : 'off'
  $('keep-key').parentElement.hidden = login // a cookie keeps it
}

async function logIn() {
  const error = $('sign-in-error')
  error.textContent = ''
  try {
    const answer = await post('/admin/login', { password: $('api-key').value })
    const reply = await answer.json()
    if (answer.ok) {
      csrf = reply.csrf
      $('api-key').value = ''
      return showBoard()
    }
    error.textContent = answer.status === 401 ? 'This password is not right.' : `Not now: ${reply.error.message}.`
  } catch {
    error.textContent = 'The server does not answer.'
  }
}

async function signIn(event) {
  event.preventDefault()
  if ($('sign-in').dataset.login === 'true') return logIn()
  const error = $('sign-in-error')
  error.textContent = ''
  apiKey = $('api-key').value
  try {
    if (await access() !== 'granted') {
      apiKey = ''
      error.textContent = 'This key is not right.'
      return
    }
  } catch {
    apiKey = ''
    error.textContent = 'The server does not answer.'
    return
  }
  if ($('keep-key').checked) sessionStorage.setItem(storedKey, apiKey)
  $('api-key').value = ''
  showBoard()
}

$('sign-in').addEventListener('submit', signIn)
$('sign-out').addEventListener('click', signOut)
apiKey = sessionStorage.getItem(storedKey) ?? ''
showDoor()

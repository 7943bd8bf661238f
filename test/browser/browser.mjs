// The browser, and a page of the server seen through it.

import { execSync } from 'node:child_process'
import { existsSync } from 'node:fs'

import { chromium } from 'playwright-core'

import { until } from './server.mjs'

const names = ['google-chrome', 'google-chrome-stable', 'chromium', 'chromium-browser', 'chrome']
const mac = '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome'

function executable() {
  const named = process.env.CHROME_PATH || process.env.CHROME_BIN
  if (named) return named
  for (const name of names) {
    try {
      return execSync(`command -v ${name}`, { stdio: ['ignore', 'pipe', 'ignore'], encoding: 'utf8' }).trim()
    } catch {
      // Not here; the next.
    }
  }
  if (existsSync(mac)) return mac
  throw new Error('no Chrome or Chromium: install one, or name it in CHROME_PATH')
}

export function launch() {
  return chromium.launch({
    executablePath: executable(),
    args: [
      '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-sync',
    ],
  })
}

// What a browser says of a server that is gone.
const outage = /ERR_CONNECTION_(REFUSED|RESET|CLOSED)|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_EMPTY_RESPONSE|ERR_ABORTED|WebSocket connection to/

// Page is the page of one visitor. problems holds what must not be: errors and
// warnings of the console, violations of the content security policy, requests
// to anybody else.
export class Page {
  problems = []

  static async open(browser, server, options = {}, path = '/') {
    const page = new Page()
    page.context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options })
    page.tab = await page.context.newPage()
    page.#watch(server)
    await page.tab.goto(server.url + path)
    return page
  }

  #watch(server) {
    this.tab.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) this.problems.push(message.text())
    })
    this.tab.on('pageerror', (error) => this.problems.push(String(error.stack)))
    this.tab.on('request', (request) => {
      if (!request.url().startsWith(server.url)) this.problems.push(`asked ${request.url()}`)
    })
    this.tab.on('websocket', (socket) => {
      if (!socket.url().startsWith(server.url.replace('http', 'ws'))) this.problems.push(`asked ${socket.url()}`)
    })
  }

  close() { return this.context.close() }

  // unexpected are the problems that an outage of the server does not explain.
  get unexpected() { return this.problems.filter((problem) => !outage.test(problem)) }

  text(name) { return this.tab.locator(`[data-text="${name}"]:visible`).first().textContent() }

  server() { return this.tab.locator('body').getAttribute('data-server') }

  state() { return this.tab.locator('#console').getAttribute('data-state') }

  // becomes waits for the console's connection to be in a state.
  becomes(state) { return until(async () => await this.state() === state, `the console to be ${state}`) }

  async subscribe(channel) {
    await this.tab.getByLabel('Channel to subscribe to').fill(channel)
    await this.tab.getByRole('button', { name: 'Subscribe', exact: true }).click()
    await this.event(`Subscribed to ${channel}`)
  }

  async publish(text, format = 'JSON') {
    await this.tab.getByText(format, { exact: true }).click()
    await this.tab.getByLabel('Message', { exact: true }).fill(text)
    await this.tab.getByRole('button', { name: 'Publish', exact: true }).click()
  }

  // messages are the rows of a channel, as the page shows them.
  messages(channel) {
    return this.tab.locator('#log').evaluate((log, name) => [...log.querySelectorAll('[data-kind="message"]')]
      .filter((row) => row.dataset.channel === name)
      .map((row) => ({
        offset: Number(row.dataset.offset), time: Number(row.dataset.time), epoch: row.dataset.epoch,
        recovered: row.dataset.recovered === 'true', text: row.textContent,
        data: row.querySelector('.data').textContent,
      })), channel)
  }

  // received waits until so many messages of a channel are there.
  received(channel, n) {
    return until(async () => {
      const list = await this.messages(channel)
      return list.length >= n && list
    }, `${n} messages of ${channel}`)
  }

  events() { return this.tab.locator('#log [data-kind="event"]').allTextContents() }

  // event waits for a line of the stream that holds text.
  event(text) {
    return until(async () => (await this.events()).find((line) => line.includes(text)), `the line “${text}”`)
  }
}

// lowContrast runs in the page: texts below the 4.5 : 1 of WCAG 2.2, 1.4.3, which
// exempts what is disabled.
export function lowContrast() {
  const parse = (color) => {
    const [r, g, b, a = 1] = color.match(/[\d.]+/g).map(Number)
    return { r, g, b, a }
  }
  const over = (top, below) => {
    const mix = (c) => top[c] * top.a + below[c] * (1 - top.a)
    return { r: mix('r'), g: mix('g'), b: mix('b'), a: 1 }
  }
  const background = (element) => {
    if (!element) return { r: 255, g: 255, b: 255, a: 1 }
    const own = parse(getComputedStyle(element).backgroundColor)
    return own.a === 1 ? own : over(own, background(element.parentElement))
  }
  const light = ({ r, g, b }) => {
    const [x, y, z] = [r, g, b].map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4))
    return 0.2126 * x + 0.7152 * y + 0.0722 * z
  }
  const seen = (element) => element.checkVisibility() && !element.closest(':disabled, .hidden')
    && [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim())
  return [...document.querySelectorAll('body *')].filter(seen).flatMap((element) => {
    const below = background(element)
    const [a, b] = [light(over(parse(getComputedStyle(element).color), below)), light(below)]
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)
    return ratio < 4.5 ? [`${ratio.toFixed(2)} ${element.outerHTML.slice(0, 120)}`] : []
  })
}

import assert from 'node:assert/strict'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'

import { launch, lowContrast, Page } from './browser.mjs'
import { Server, until } from './server.mjs'

let browser

before(async () => { browser = await launch() })

after(() => browser?.close())

// lanes are the numbers that the page shows, by the transport's title.
const lanes = (page) => page.tab.locator('.lane').evaluateAll((rows) => Object.fromEntries(rows.map((row) => {
  const text = (selector) => row.querySelector(selector).textContent
  const number = (selector) => Number(text(selector).replace(/\D/g, ''))
  return [text('h3'), {
    fault: row.hasAttribute('data-fault'), received: number('.ratio'), requests: number('.count'), bytes: number('.each'), payload: number('.split'),
    points: row.querySelectorAll('.point').length, median: text('.median'), label: row.querySelector('.strip').ariaLabel,
  }]
})))

const state = (page) => page.tab.locator('body').getAttribute('data-state')

async function visit(server, fn, options) {
  const page = await Page.open(browser, server, options, '/compare')
  try {
    await fn(page)
    assert.deepEqual(page.problems, [])
  } finally {
    await page.close()
  }
}

const all = (found, check) => Object.keys(found).length === 4 && Object.values(found).every(check)

test('measures four transports on the same messages', async () => {
  const server = await Server.dev()
  try {
    await visit(server, async (page) => {
      await until(async () => await state(page) === 'running', 'the page to measure')
      await page.tab.getByText('20', { exact: true }).click()
      await page.tab.getByText('½ s', { exact: true }).click()
      await until(async () => all(await lanes(page), (lane) => lane.received >= 20), 'twenty messages in each lane')
      await page.tab.getByRole('button', { name: 'Pause' }).click()
      const sent = async () => Number(await page.tab.locator('#sent').textContent())
      await until(async () => { const n = await sent(); return all(await lanes(page), (lane) => lane.received === n) }, 'each lane to have what was sent')
      const found = await lanes(page)
      const { WebSocket: socket, 'Server-Sent Events': events, 'Long poll': long, 'Short poll': short } = found
      assert.deepEqual([socket.requests, events.requests], [1, 1])
      assert.ok(short.requests > 1 && long.requests > 1)
      for (const [name, lane] of Object.entries(found)) {
        assert.equal(lane.payload, 128, name)
        assert.ok(lane.bytes > lane.payload, `${name}: ${lane.bytes} bytes`)
        assert.ok(lane.points > 0 && !lane.fault && /\d/.test(lane.median), `${name} shows what it found`)
        assert.match(lane.label, /^delays around/)
      }
      assert.match(await page.tab.locator('#verdict').textContent(), /^Beside WebSocket, .* times the bytes/)

      await page.tab.getByText('2,048', { exact: true }).click()
      await page.tab.getByRole('button', { name: 'Start over' }).click()
      await page.tab.getByRole('button', { name: 'Go on' }).click()
      await until(async () => all(await lanes(page), (lane) => lane.received > 0 && lane.payload === 2048), 'larger messages in each lane')
    })
    assert.ok((await server.call('channels', {})).channels, 'the server lives')
  } finally {
    await server.stop()
  }
})

test('can be read in light and dark, and fits wide and narrow', async (t) => {
  const server = await Server.dev()
  const dir = mkdtempSync(join(tmpdir(), 'fanfare-compare-'))
  t.diagnostic(`screenshots: ${dir}`)
  const looks = {
    light: { colorScheme: 'light', reducedMotion: 'reduce' },
    dark: { colorScheme: 'dark', reducedMotion: 'reduce' },
    tablet: { viewport: { width: 820, height: 1000 } },
    narrow: { viewport: { width: 360, height: 780 }, colorScheme: 'dark' },
  }
  try {
    for (const [name, options] of Object.entries(looks)) {
      await visit(server, async (page) => {
        await until(async () => all(await lanes(page), (lane) => lane.received >= 10), 'messages in each lane')
        const over = await page.tab.evaluate(() => document.documentElement.scrollWidth - innerWidth)
        assert.ok(over <= 0, `${name} is ${over} pixels too wide`)
        assert.deepEqual(await page.tab.evaluate(lowContrast), [])
        await page.tab.screenshot({ path: join(dir, `${name}.png`), fullPage: true })
      }, options)
    }
  } finally {
    await server.stop()
  }
})

test('asks for a token where one is needed', async () => {
  const server = await Server.with([], '')
  try {
    await visit(server, async (page) => {
      await until(() => page.tab.locator('#access').isVisible(), 'the form')
      assert.match(await page.tab.locator('#access-why').textContent(), /unauthorized/)
      assert.equal(await state(page), 'failed')
      assert.deepEqual(await page.tab.evaluate(lowContrast), [])
    })
  } finally {
    await server.stop()
  }
})

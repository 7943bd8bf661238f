import assert from 'node:assert/strict'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'

import { launch, lowContrast, Page } from './browser.mjs'
import { Server, until } from './server.mjs'

let browser
let server

before(async () => {
  server = await Server.dev()
  browser = await launch()
})

after(async () => {
  await browser?.close()
  await server?.stop()
})

// visit gives fn a page, and fails on anything the browser complained about.
async function visit(fn, options) {
  const page = await Page.open(browser, server, options)
  try {
    await page.becomes('connected')
    await fn(page)
    assert.deepEqual(page.problems, [])
  } finally {
    await page.close()
  }
}

const range = (first, last) => Array.from({ length: last - first + 1 }, (_, i) => first + i)

test('shows that the server lives, and its numbers', () => visit(async (page) => {
  await until(async () => await page.server() === 'live', 'the server to be live')
  assert.equal(await page.text('server'), 'Live')
  assert.match(await page.text('uptime'), /^\d/)
  assert.notEqual(await page.text('version'), '')
  const connections = page.tab.locator('[data-stat="connections"] .value')
  await until(async () => Number(await connections.textContent()) >= 1, 'our own connection to be counted')
  const line = page.tab.locator('[data-stat="connections"] .line')
  await until(async () => (await line.getAttribute('d') ?? '').includes('L'), 'a sparkline of two samples')
}))

test('publishes, and shows the message with offset, epoch, time and publisher', () => visit(async (page) => {
  await page.subscribe('shown')
  await page.publish('{"text": "héllo", "n": [1, 2, null]}')
  await page.received('shown', 1)
  await page.publish('not JSON, and <b>no HTML</b>', 'Text')
  const [json, text] = await page.received('shown', 2)
  assert.deepEqual([json.offset, text.offset], [1, 2])
  assert.deepEqual(JSON.parse(json.data), { text: 'héllo', n: [1, 2, null] })
  assert.equal(text.data, '"not JSON, and <b>no HTML</b>"')
  assert.match(json.text, /#1.*epoch.*by you/)
  assert.ok(Math.abs(Date.now() - json.time) < 60_000, `the time is ${json.time}`)
  assert.ok(json.epoch !== '' && json.epoch === text.epoch)
  assert.equal(json.recovered, false)

  await server.publish('shown', { from: 'backend' }, { tags: { event: 'tick' } })
  const [, , api] = await page.received('shown', 3)
  assert.match(api.text, /event=tick.*by the server API/)
  await until(async () => await page.text('offset') === '3', 'the position of the channel')
}))

test('refuses what is not JSON before it is sent', () => visit(async (page) => {
  await page.subscribe('strict')
  await page.publish('{"text": ')
  assert.match(await page.tab.locator('#publish-error').textContent(), /not JSON/)
  await page.publish('{"text": 1}')
  assert.equal(await page.tab.locator('#publish-error').textContent(), '')
  assert.deepEqual((await page.received('strict', 1)).map((m) => m.offset), [1])
}))

test('recovers what was published while the network was cut', () => visit(async (page) => {
  await page.subscribe('cut')
  for (const n of range(1, 2)) await server.publish('cut', { n })
  await page.received('cut', 2)

  await page.tab.getByLabel('Stay cut').selectOption('0')
  await page.tab.getByRole('button', { name: 'Cut the network' }).click()
  await page.becomes('cut')
  for (const n of range(3, 22)) await server.publish('cut', { n })
  assert.equal((await page.messages('cut')).length, 2, 'nothing arrives through a cut network')

  await page.tab.getByRole('button', { name: 'Restore the network' }).click()
  await page.event('cut: recovered 20 messages')
  await page.received('cut', 22)
  await server.publish('cut', { n: 23 })
  const list = await page.received('cut', 23)
  assert.deepEqual(list.map((m) => m.offset), range(1, 23))
  assert.deepEqual(list.map((m) => JSON.parse(m.data).n), range(1, 23))
  assert.deepEqual(list.filter((m) => m.recovered).map((m) => m.offset), range(3, 22))
}))

test('comes back by itself when the cut was for some seconds', () => visit(async (page) => {
  await page.subscribe('pause')
  await page.tab.getByLabel('Stay cut').selectOption('5')
  await page.tab.getByRole('button', { name: 'Cut the network' }).click()
  await page.becomes('cut')
  assert.match(await page.text('state'), /back in [1-5] s/)
  await server.publish('pause', 1)
  await page.event('pause: recovered 1 message')
  assert.deepEqual((await page.received('pause', 1)).map((m) => [m.offset, m.recovered]), [[1, true]])
}))

test('subscribing connects, and both hold after a disconnect', () => visit(async (page) => {
  await page.tab.getByRole('button', { name: 'Disconnect' }).click()
  await page.becomes('disconnected')
  await page.tab.getByRole('button', { name: 'Subscribe to “news”' }).click()
  await page.event('Subscribed to news')
  await page.publish('"one"')
  await page.received('news', 1)
  await page.tab.getByRole('button', { name: 'Disconnect' }).click()
  await page.becomes('disconnected')
  await server.publish('news', 'two')
  await page.tab.getByRole('button', { name: 'Connect', exact: true }).click()
  const list = await page.received('news', 2)
  assert.deepEqual(list.map((m) => [m.data, m.recovered]), [['"one"', false], ['"two"', true]])
}))

// Dev mode keeps 100 publications of a channel.
test('says so when what was missed is gone', () => visit(async (page) => {
  await page.subscribe('gone')
  await server.publish('gone', { n: 1 })
  await page.received('gone', 1)
  await page.tab.getByLabel('Stay cut').selectOption('0')
  await page.tab.getByRole('button', { name: 'Cut the network' }).click()
  await page.becomes('cut')
  for (const n of range(2, 152)) await server.publish('gone', { n })
  await page.tab.getByRole('button', { name: 'Restore the network' }).click()
  assert.match(await page.event('gone: not recovered'), /goes on after offset 152/)
  await server.publish('gone', { n: 153 })
  assert.deepEqual((await page.received('gone', 2)).map((m) => m.offset), [1, 153])
}))

test('two pages see each other come and go', () => visit(async (first) => {
  await first.subscribe('lobby')
  const members = first.tab.locator('#members li')
  await until(async () => await members.count() === 1, 'ourselves to be present')
  const second = await Page.open(browser, server)
  await second.becomes('connected')
  await second.subscribe('lobby')
  await first.event('joined lobby')
  await until(async () => await members.count() === 2, 'both to be present')
  const ids = await members.evaluateAll((rows) => rows.map((row) => row.dataset.client))
  assert.equal(new Set(ids).size, 2)
  await second.publish('{"from": "the other page"}')
  const [message] = await first.received('lobby', 1)
  assert.match(message.text, /by anonymous/)
  assert.deepEqual(second.problems, [])
  await second.close()
  await first.event('left lobby')
  await until(async () => await members.count() === 1, 'the other to be gone')
}))

test('lists live channels, filters them, and subscribes by a click', () => visit(async (other) => {
  for (const name of ['list-a', 'list-b', 'elsewhere']) await other.subscribe(name)
  await visit(async (page) => {
    const rows = page.tab.locator('#channels tr')
    await until(async () => (await rows.allTextContents()).includes('elsewhere1'), 'the channels of the other page')
    await page.tab.getByLabel('Filter channels by name').fill('list-')
    await until(async () => (await rows.allTextContents()).join() === 'list-a1,list-b1', 'the filter to hold')
    await page.tab.getByLabel('Filter channels by name').fill('list-?')
    await page.tab.getByRole('button', { name: 'list-b', exact: true }).first().click()
    await page.event('Subscribed to list-b')
    await until(async () => (await rows.allTextContents()).join() === 'list-a1,list-b2', 'our subscription to be counted')
    await page.tab.getByRole('button', { name: 'Unsubscribe from list-b' }).click()
    await until(async () => (await rows.allTextContents()).join() === 'list-a1,list-b1', 'our subscription to be gone')
  })
}))

test('offers lines to copy for the chosen channel', () => visit(async (page) => {
  await page.subscribe("it's")
  const code = page.tab.locator('#snippet code')
  assert.match(await code.textContent(), /^curl http:\/\/127\.0\.0\.1:\d+\/api\/publish/)
  assert.ok((await code.textContent()).includes(`'{"channel":"it'\\''s","data":{"text":"hello"}}'`))
  await page.tab.getByRole('tab', { name: 'JavaScript' }).click()
  assert.match(await code.textContent(), /import { Client } from[^]*\/client.js'[^]*subscribe\('it\\'s'/)
  await page.tab.getByRole('tab', { name: 'JavaScript' }).press('ArrowRight')
  assert.match(await code.textContent(), /new Centrifuge\([^)]*\/connection\/websocket'[^]*newSubscription\('it\\'s'\)/)
  await page.tab.getByRole('tab', { name: 'SDK' }).press('ArrowRight')
  assert.match(await code.textContent(), /^fanfare subscribe/)
}))

test('every field and button has a name', () => visit(async (page) => {
  const nameless = await page.tab.evaluate(() => [...document.querySelectorAll('input, select, textarea, button')]
    .filter((e) => !(e.labels?.length || e.ariaLabel || e.tagName === 'BUTTON' && e.textContent.trim()))
    .map((e) => e.outerHTML))
  assert.deepEqual(nameless, [])
}))

for (const colorScheme of ['light', 'dark']) {
  test(`every text can be read, ${colorScheme}`, () => visit(async (page) => {
    await page.subscribe('read')
    await page.publish('{"text": "hello", "n": [1, true, null]}')
    await page.received('read', 1)
    await page.tab.getByLabel('Stay cut').selectOption('0')
    await page.tab.getByRole('button', { name: 'Cut the network' }).click()
    await page.becomes('cut')
    await server.publish('read', { n: 1 }, { tags: { a: 'b' } })
    assert.deepEqual(await page.tab.evaluate(lowContrast), [])
    await page.tab.getByRole('button', { name: 'Restore the network' }).click()
    await page.received('read', 2)
    await page.tab.mouse.move(0, 0)
    assert.deepEqual(await page.tab.evaluate(lowContrast), [])
  }, { colorScheme, reducedMotion: 'reduce' }))
}

test('fits light and dark, wide and narrow', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'fanfare-screenshots-'))
  t.diagnostic(`screenshots: ${dir}`)
  const looks = {
    light: { colorScheme: 'light' },
    dark: { colorScheme: 'dark' },
    tablet: { viewport: { width: 1000, height: 800 } },
    narrow: { viewport: { width: 360, height: 780 }, colorScheme: 'dark', reducedMotion: 'reduce' },
  }
  const backgrounds = {}
  for (const [name, options] of Object.entries(looks)) {
    await visit(async (page) => {
      await page.subscribe('a-channel-with-a-name-that-is-rather-long-and-that-has-no-place-to-break')
      await page.publish(JSON.stringify({ text: 'x'.repeat(400) }))
      await until(async () => await page.tab.locator('[data-kind="message"]').count() > 0, 'the message')
      const over = await page.tab.evaluate(() => document.documentElement.scrollWidth - innerWidth)
      assert.ok(over <= 0, `${name} is ${over} pixels too wide`)
      backgrounds[name] = await page.tab.evaluate(() => getComputedStyle(document.body).backgroundColor)
      await page.tab.screenshot({ path: join(dir, `${name}.png`), fullPage: true })
    }, options)
  }
  assert.notEqual(backgrounds.light, backgrounds.dark)
})

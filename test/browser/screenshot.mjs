// Makes docs/images/console.png, the picture of the README: some traffic for a
// minute, so that there are lines to see, then a cut and what came back.
//
//	FANFARE_BIN=bin/fanfare node screenshot.mjs [FILE]

import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'

import { launch, Page } from './browser.mjs'
import { Server } from './server.mjs'

const file = process.argv[2] ?? fileURLToPath(new URL('../../docs/images/console.png', import.meta.url))
const seconds = Number(process.env.SECONDS ?? 75)

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

const server = await Server.dev()
const browser = await launch()

// traffic publishes in waves until it is stopped.
function traffic() {
  let on = true
  const done = (async () => {
    for (let i = 0; on; i++) {
      const wave = 3 + 3 * Math.sin(i / 22) + 2 * Math.random()
      for (let n = 0; n < wave; n++) {
        await server.publish('quotes:EURUSD', { bid: Number((1.08 + Math.random() / 1000).toFixed(5)) })
        if (n % 3 === 0) await server.publish('game:7', { x: n, y: i })
      }
      await sleep(250)
    }
  })()
  return async () => {
    on = false
    await done
  }
}

const page = await Page.open(browser, server, { colorScheme: 'dark' })
await page.becomes('connected')
const stop = traffic()
const others = []
for (const channels of [['quotes:EURUSD', 'orders'], ['quotes:EURUSD', 'game:7', 'chat'], ['quotes:EURUSD', 'orders', 'chat', 'alerts']]) {
  const other = await Page.open(browser, server)
  await other.becomes('connected')
  for (const channel of channels) await other.subscribe(channel)
  others.push(other)
  await sleep(seconds * 1000 / 6)
}
await sleep(seconds * 1000 / 2)

await page.subscribe('chat')
await page.subscribe('orders')
await page.tab.getByRole('button', { name: 'Clear' }).click()
await others[1].publish('{"text": "Anybody seen order 1041?"}')
await server.publish('orders', { id: 1041, status: 'packed', items: 3 })
await page.received('orders', 1)
await page.tab.getByRole('button', { name: 'Cut the network' }).click()
await page.becomes('cut')
await sleep(1500)
await server.publish('orders', { id: 1041, status: 'sent', carrier: { name: 'van 7', eta: '14:30' } })
await server.publish('orders', { id: 1042, status: 'paid', items: 1 })
await sleep(1200)
await page.tab.getByRole('button', { name: 'Restore the network' }).click()
await page.event('orders: recovered 2 messages')
await server.publish('orders', { id: 1042, status: 'packed', items: 1 })
await page.received('orders', 4)
await page.tab.getByLabel('Message', { exact: true }).fill('{"id": 1043, "status": "paid"}')
await page.tab.mouse.move(0, 0)
await page.tab.evaluate(() => document.activeElement.blur())
await sleep(1500)

mkdirSync(dirname(file), { recursive: true })
await page.tab.screenshot({ path: file })
console.log(file)
await stop()
await browser.close()
await server.stop()

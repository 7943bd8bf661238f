import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'

import { launch, Page } from './browser.mjs'
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

test('notices that the server was killed, and loses nothing', async () => {
  const page = await Page.open(browser, server)
  await page.becomes('connected')
  await page.subscribe('news')
  for (const n of [1, 2, 3]) await server.publish('news', { n })
  const epoch = (await page.received('news', 3))[0].epoch

  await server.stop('SIGKILL')
  await until(async () => await page.server() === 'down', 'the page to notice')
  assert.match(await page.text('server'), /^Down for/)
  assert.match(await page.tab.title(), /down/)
  await page.event('The server does not answer')

  await server.start()
  for (const n of [4, 5, 6, 7]) await server.publish('news', { n })
  await until(async () => await page.server() === 'live', 'the page to notice that it is back')
  await page.becomes('connected')
  await page.event('The server was started again')
  await server.publish('news', { n: 8 })
  const list = await page.received('news', 8)
  assert.deepEqual(list.map((m) => m.offset), [1, 2, 3, 4, 5, 6, 7, 8])
  assert.deepEqual(list.map((m) => JSON.parse(m.data).n), [1, 2, 3, 4, 5, 6, 7, 8])
  assert.ok(list.every((m) => m.epoch === epoch), 'one epoch before and after')
  assert.match(await page.event('news: recovered'), /recovered/)
  assert.equal(await page.tab.title(), 'Fanfare')
  assert.deepEqual(page.unexpected, [])
  await page.close()
})

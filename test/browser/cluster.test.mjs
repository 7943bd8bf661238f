import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'

import { launch, Page } from './browser.mjs'
import { Server, until } from './server.mjs'

let browser

before(async () => { browser = await launch() })
after(async () => { await browser?.close() })

// visit gives fn a page of a server with these arguments.
async function visit(args, fn) {
  const server = await Server.with(['--dev', ...args], 'dev')
  const page = await Page.open(browser, server)
  try {
    await page.becomes('connected')
    await fn(page)
    assert.deepEqual(page.problems, [])
  } finally {
    await page.close()
    await server.stop()
  }
}

test('shows the nodes of a cluster', () => visit(['--cluster', 'demo', '--node', 'n1'], async (page) => {
  const nodes = page.tab.locator('#nodes')
  await until(() => nodes.isVisible(), 'the nodes to be shown')
  await until(async () => (await nodes.locator('.pill').textContent()) === '1 of 1 ready', 'the node to be ready')
  assert.match(await nodes.locator('tbody').innerText(), /n1 \(this one\)\s+ready/)
  assert.equal(await page.text('cluster'), 'demo')
  if (process.env.SHOT) await page.tab.screenshot({ path: process.env.SHOT })
}))

test('shows no nodes where there is one', () => visit([], async (page) => {
  await until(async () => /^\d/.test(await page.text('uptime')), 'the first numbers')
  assert.equal(await page.tab.locator('#nodes').isVisible(), false)
}))

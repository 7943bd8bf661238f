import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'

import { launch, Page } from './browser.mjs'
import { binary, scratch, Server, until } from './server.mjs'

const key = 'an API key that only the operator knows'
const config = join(scratch('config'), 'fanfare.yaml')
writeFileSync(config, `
app:
  secret: a secret that is long enough to sign tokens with
api:
  key: ${key}
`)

let browser
let server

before(async () => {
  server = await Server.with(['--config', config], key)
  browser = await launch()
})

after(async () => {
  await browser?.close()
  await server?.stop()
})

const view = (page) => page.tab.locator('body').getAttribute('data-view')

async function signIn(page, given, keep = false) {
  await page.tab.getByLabel('API key').fill(given)
  if (keep) await page.tab.getByLabel('Keep it').check()
  await page.tab.getByRole('button', { name: 'Sign in' }).click()
}

const atDoor = (page) => page.tab.getByRole('button', { name: 'Sign in' }).waitFor()
const inside = (page) => page.tab.getByRole('heading', { name: 'Console' }).waitFor()

test('shows only that the server lives', async () => {
  const page = await Page.open(browser, server)
  await atDoor(page)
  assert.equal(await page.text('server'), 'Live')
  assert.equal(await view(page), 'door')
  const words = await page.tab.locator('body').innerText()
  assert.deepEqual(words.split('\n').map((line) => line.trim()).filter(Boolean),
    ['Fanfare', 'Live', 'API key', 'Sign in', 'Keep it until this tab is closed'])
  for (const path of ['/admin/live', '/admin/channels']) {
    assert.equal((await fetch(server.url + path)).status, 401, path)
  }
  assert.deepEqual(page.problems, [])
  await page.close()
})

test('opens with the API key, and keeps it only if asked to', async () => {
  const page = await Page.open(browser, server)
  await atDoor(page)
  await signIn(page, 'a wrong key')
  await until(async () => /not right/.test(await page.tab.locator('#sign-in-error').textContent()), 'the key to be refused')

  await signIn(page, key)
  await inside(page)
  await until(async () => /^\d/.test(await page.text('uptime')), 'the numbers')
  await page.tab.reload()
  await atDoor(page)

  await signIn(page, key, true)
  await inside(page)
  await page.tab.reload()
  await inside(page)

  await page.tab.getByRole('button', { name: 'Sign out' }).click()
  await atDoor(page)
  assert.equal(await page.tab.evaluate(() => sessionStorage.length), 0)
  assert.deepEqual(page.problems, [])
  await page.close()
})

test('connects with a token, and says what is wrong without one', async () => {
  const page = await Page.open(browser, server)
  await atDoor(page)
  await signIn(page, key)
  await inside(page)
  const connect = page.tab.getByRole('button', { name: 'Connect', exact: true })
  await connect.click()
  await page.event('The server refused the connection: 101')

  const token = execFileSync(binary(), ['token', '--config', config, '--user', '42'], { encoding: 'utf8' }).trim()
  await page.tab.getByLabel('Connection token').fill(token)
  await connect.click()
  await page.becomes('connected')

  await page.tab.getByLabel('Channel to subscribe to').fill('news')
  await page.tab.getByRole('button', { name: 'Subscribe', exact: true }).click()
  await page.event('news: permission denied (103)')
  assert.deepEqual(page.problems, [])
  await page.close()
})

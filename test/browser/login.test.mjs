import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'

import { launch, Page } from './browser.mjs'
import { binary, scratch, Server, until } from './server.mjs'

const password = 'a password that only the admin knows'
const dir = scratch('config')
const config = join(dir, 'fanfare.yaml')

let browser
let server

before(async () => {
  const hash = join(dir, 'admin.hash')
  writeFileSync(hash, execFileSync(binary(), ['admin', 'password'], { input: password }))
  writeFileSync(config, `
app:
  secret: a secret that is long enough to sign tokens with
api:
  key: a key
admin:
  password_file: ${hash}
`)
  server = await Server.with(['--config', config], 'a key')
  browser = await launch()
})

after(async () => {
  await browser?.close()
  await server?.stop()
})

const field = (page) => page.tab.getByLabel('Password')
const inside = (page) => page.tab.getByRole('heading', { name: 'Console' }).waitFor()

async function logIn(page, given) {
  await field(page).fill(given)
  await page.tab.getByRole('button', { name: 'Sign in' }).click()
}

test('asks for the password, and stays signed in until it is told otherwise', async () => {
  const page = await Page.open(browser, server)
  await field(page).waitFor()
  assert.equal(await page.tab.locator('#keep-key').isVisible(), false)
  await logIn(page, 'a wrong password')
  await until(async () => /not right/.test(await page.tab.locator('#sign-in-error').textContent()), 'the password to be refused')

  await logIn(page, password)
  await inside(page)
  await until(async () => /^\d/.test(await page.text('uptime')), 'the numbers')
  await page.tab.reload()
  await inside(page)
  assert.equal(await page.tab.evaluate(() => document.cookie + sessionStorage.length), '0')

  await page.tab.getByRole('button', { name: 'Sign out' }).click()
  await field(page).waitFor()
  await page.tab.reload()
  await field(page).waitFor()
  assert.equal(await page.tab.evaluate(async () => (await fetch('/admin/channels')).status), 401)
  assert.deepEqual(page.problems.filter((problem) => !/\b401\b/.test(problem)), [])
  await page.close()
})

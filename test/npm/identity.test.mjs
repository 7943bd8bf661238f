// Tokens by every algorithm, keys that change, and what a token grants.
import assert from 'node:assert/strict'
import { constants, generateKeyPairSync, sign } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { after, before } from 'node:test'
import { client, connected, next, received, subscribed, subscription, unique, until } from './lib/client.mjs'
import { config } from './lib/config.mjs'
import { Server } from './lib/server.mjs'
import { now, token } from './lib/token.mjs'

const keys = {
  RS: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ES256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  ES384: generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  ES512: generateKeyPairSync('ec', { namedCurve: 'P-521' }),
  EdDSA: generateKeyPairSync('ed25519')
}
const published = generateKeyPairSync('ed25519')
const rotated = generateKeyPairSync('ed25519')

// signed makes a token by a private key, as RFC 7518 says.
function signed(alg, { privateKey }, claims, kid) {
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const body = `${encode({ alg, kid })}.${encode(claims)}`
  const how = { key: privateKey, dsaEncoding: 'ieee-p1363' }
  if (alg.startsWith('PS')) Object.assign(how, { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST })
  const hash = alg === 'EdDSA' ? null : `sha${alg.slice(2)}`
  return `${body}.${sign(hash, Buffer.from(body), how).toString('base64url')}`
}

let server, dir, provider
let set = [{ ...published.publicKey.export({ format: 'jwk' }), kid: 'published' }]
before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'fanfare-keys-'))
  const files = []
  for (const [name, pair] of Object.entries(keys)) {
    files.push(`${name}=${join(dir, name)}.pem`)
    await writeFile(join(dir, `${name}.pem`), pair.publicKey.export({ type: 'spki', format: 'pem' }))
  }
  provider = createServer((_, response) => response.end(JSON.stringify({ keys: set })))
  await new Promise((resolve) => provider.listen(0, '127.0.0.1', resolve))
  server = await Server.start({
    ...config,
    tokens: {
      public_keys: files, previous_secret: 'the one before',
      jwks_url: `http://127.0.0.1:${provider.address().port}/`, jwks_trusted_hosts: ['127.0.0.1']
    }
  })
})
after(async () => {
  await server.remove()
  provider.close()
  provider.closeAllConnections()
  await rm(dir, { recursive: true, force: true })
})

for (const alg of ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA']) {
  const kid = /^(RS|PS)/.test(alg) ? 'RS' : alg
  test(`${alg} connects and subscribes`, async (t) => {
    const channel = '$' + unique('users')
    const c = await connected(t, server.url, { token: signed(alg, keys[kid], { sub: 'ann' }, kid) })
    await subscribed(c, channel, { token: signed(alg, keys[kid], { sub: 'ann', channel }, kid) })
    const forged = client(t, server.url, { token: signed(alg, keys[kid], { sub: 'ann' }, kid).slice(0, -8) + 'AAAAAAAA' })
    const end = next(forged, 'disconnected')
    forged.connect()
    assert.equal((await end).code, 3500)
  })
}

test('the secret before still verifies', async (t) => {
  await connected(t, server.url, { token: token({ sub: 'ann' }, 'the one before') })
})

test('a public key is no secret', async (t) => {
  const pem = keys.RS.publicKey.export({ type: 'spki', format: 'pem' })
  const c = client(t, server.url, { token: token({ sub: 'ann' }, pem) })
  const end = next(c, 'disconnected')
  c.connect()
  assert.equal((await end).code, 3500)
})

test('a key that is published while the server runs is found by the client trying again', { timeout: 60_000 }, async (t) => {
  await connected(t, server.url, { token: signed('EdDSA', published, { sub: 'ann' }, 'published') })
  set = [...set, { ...rotated.publicKey.export({ format: 'jwk' }), kid: 'rotated' }]
  const c = client(t, server.url, { token: signed('EdDSA', rotated, { sub: 'bob' }, 'rotated') })
  c.connect()
  await c.ready(30_000)
})

test('caps allow and deny, and say no more than they say', async (t) => {
  const room = unique('closed')
  const caps = [
    { channels: ['closed:*'], match: 'wildcard', allow: ['sub', 'pub'] },
    { channels: [room + '-x'], match: 'prefix', deny: ['sub'] }
  ]
  const c = await connected(t, server.url, { token: token({ sub: 'ann', caps }) })
  const sub = await subscribed(c, room)
  await sub.publish('hello')
  await received(sub, 1)
  await assert.rejects(sub.history({ limit: 1 }), { code: 103 })
  await assert.rejects(sub.presence(), { code: 103 })
  for (const name of [room + '-x1', room + '#bob', '$' + room]) {
    const shut = subscription(c, name)
    const refused = next(shut, 'unsubscribed')
    shut.subscribe()
    assert.equal((await refused).code, 103, name)
  }
  const bad = client(t, server.url, { token: token({ sub: 'ann', caps: [{ channels: ['.*'], match: 'regex', allow: ['sub'] }] }) })
  const end = next(bad, 'disconnected')
  bad.connect()
  assert.equal((await end).code, 3500)
})

test('allow of a subscription token is for its subscriber', async (t) => {
  const channel = unique('closed')
  const c = await connected(t, server.url, { token: token({ sub: 'ann' }) })
  const sub = await subscribed(c, channel, { token: token({ sub: 'ann', channel, allow: ['pub'] }) })
  await sub.publish('hello')
  await received(sub, 1)
  await assert.rejects(sub.presence(), { code: 103 })
})

test('a tab in the background brings its new token late and stays connected', async (t) => {
  let [lost, given] = [0, false]
  const c = await connected(t, server.url, {
    token: token({ sub: 'ann', exp: now() + 2 }),
    // The browser lets its timers run seconds after the token has ended.
    getToken: async () => {
      const late = Date.now() + 9000
      while (Date.now() < late) await new Promise((resolve) => setTimeout(resolve, 500))
      given = true
      return token({ sub: 'ann', exp: now() + 3600 })
    }
  })
  c.on('connecting', () => lost++)
  const sub = await subscribed(c, unique('users'))
  await until('the new token is there', () => given)
  await sub.publish('still here')
  await received(sub, 1)
  assert.equal(lost, 0)
})

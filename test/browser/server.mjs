// The server under test: the built binary, on a port and a data directory of its
// own.

import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const root = new URL('../..', import.meta.url).pathname

let built = process.env.FANFARE_BIN

// binary is FANFARE_BIN, or built here, once for each test file.
export function binary() {
  if (!built) {
    const dir = scratch('bin')
    built = join(dir, 'fanfare')
    execFileSync('go', ['build', '-o', built, './cmd/fanfare'], { cwd: root, stdio: 'inherit' })
  }
  return built
}

// scratch makes a directory that is gone when the process ends.
export function scratch(name) {
  const dir = mkdtempSync(join(tmpdir(), `fanfare-${name}-`))
  process.on('exit', () => rmSync(dir, { recursive: true, force: true }))
  return dir
}

// until waits for check to give something true, and returns it.
export async function until(check, what, ms = 30_000) {
  const end = Date.now() + ms
  for (;;) {
    const result = await check()
    if (result) return result
    if (Date.now() > end) throw new Error(`waited ${ms} ms in vain: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
}

async function freePort() {
  const probe = createServer()
  await new Promise((resolve, reject) => probe.on('error', reject).listen(0, '127.0.0.1', resolve))
  const { port } = probe.address()
  await new Promise((resolve) => probe.close(resolve))
  return port
}

// Server can be killed and started again at the same address, with its data.
export class Server {
  #child = null
  #output = ''

  constructor(port, args, key) {
    this.url = `http://127.0.0.1:${port}`
    this.key = key
    this.args = ['serve', ...args, '--listen', `127.0.0.1:${port}`, '--data-dir', join(scratch('data'), 'data')]
    process.on('exit', () => this.#child?.kill('SIGKILL'))
  }

  // dev is a server in dev mode; with takes other arguments and their API key.
  static async dev() { return new Server(await freePort(), ['--dev'], 'dev').start() }

  static async with(args, key) { return new Server(await freePort(), args, key).start() }

  async start() {
    const child = spawn(binary(), this.args, { stdio: ['ignore', 'pipe', 'pipe'] })
    this.#child = child
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => { this.#output += text })
    let over = null
    child.on('error', (error) => { over = error.message })
    child.on('exit', (code, signal) => { over ??= `ended with ${signal ?? code}` })
    await until(async () => {
      if (over) throw new Error(`the server ${over}:\n${this.#output}`)
      return fetch(`${this.url}/health`).then((answer) => answer.ok, () => false)
    }, 'the server to answer')
    return this
  }

  // stop ends the server with a signal; SIGKILL gives it no chance to tidy up.
  async stop(signal = 'SIGTERM') {
    const child = this.#child
    this.#child = null
    if (!child || child.exitCode !== null) return
    const gone = new Promise((resolve) => child.on('exit', resolve))
    child.kill(signal)
    await gone
  }

  // call asks the server API and returns the result.
  async call(method, body) {
    const answer = await fetch(`${this.url}/api/${method}`, {
      method: 'POST',
      headers: { 'X-API-Key': this.key, 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    })
    const reply = await answer.json()
    if (reply.error) throw new Error(`${method}: ${JSON.stringify(reply.error)}`)
    return reply.result
  }

  publish(channel, data, more = {}) { return this.call('publish', { channel, data, ...more }) }
}

// The built binary as a process. test/browser uses this module too.
import { spawn } from 'node:child_process'
import { access, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const START_TIMEOUT = 30_000
const STOP_TIMEOUT = 20_000

// binary is what FANFARE_BIN names, or what `make build` has built.
async function binary() {
  const bin = process.env.FANFARE_BIN ?? fileURLToPath(new URL('../../../bin/fanfare', import.meta.url))
  await access(bin).catch(() => {
    throw new Error(`no server at ${bin}: run make build, or set FANFARE_BIN`)
  })
  return bin
}

// Server runs `fanfare serve` on a free port of 127.0.0.1, in a directory of its
// own that outlives restarts.
export class Server {
  #config
  #args
  #dir
  #process
  #output = ''
  addr // host:port

  // start takes the settings as an object, and further arguments such as --dev.
  static async start(config, args = []) {
    const server = new Server()
    server.#config = config
    server.#args = args
    server.#dir = await mkdtemp(join(tmpdir(), 'fanfare-npm-'))
    await server.up()
    return server
  }

  get url() { return `ws://${this.addr}/connection/websocket` }
  get output() { return this.#output }

  // configure gives the settings that the next start is with.
  configure(config) { this.#config = config }

  // up starts the process and returns once it listens.
  async up() {
    const args = ['serve', '--listen', '127.0.0.1:0', '--data-dir', join(this.#dir, 'data'), ...this.#args]
    if (this.#config) {
      const file = join(this.#dir, 'fanfare.json')
      await writeFile(file, JSON.stringify(this.#config))
      args.push('--config', file)
    }
    this.#output = ''
    this.#process = spawn(await binary(), args, { cwd: this.#dir, stdio: ['ignore', 'pipe', 'pipe'] })
    process.once('exit', this.#killOnExit)
    this.addr = await this.#listening()
  }

  #killOnExit = () => this.#process.kill('SIGKILL')

  #listening() {
    return new Promise((resolve, reject) => {
      const fail = (why) => reject(new Error(`the server ${why}:\n${this.#output}`))
      const timer = setTimeout(fail, START_TIMEOUT, 'does not listen')
      const read = (chunk) => {
        this.#output = (this.#output + chunk).slice(-64 << 10)
        const line = this.#output.match(/(?:msg=listening|"msg":"listening").*?\baddr"?[=:]"?([0-9.]+:[0-9]+)/)
        if (line) {
          clearTimeout(timer)
          resolve(line[1])
        }
      }
      this.#process.stdout.setEncoding('utf8').on('data', read)
      this.#process.stderr.setEncoding('utf8').on('data', read)
      this.#process.once('exit', (code, signal) => {
        clearTimeout(timer)
        fail(`ended with ${code ?? signal} before it listened`)
      })
    })
  }

  // kill is kill -9.
  async kill() {
    await this.#end('SIGKILL')
  }

  // stop asks for a graceful end and gives the exit code.
  async stop() {
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), STOP_TIMEOUT)
    const code = await this.#end('SIGTERM')
    clearTimeout(timer)
    return code
  }

  async #end(signal) {
    const gone = this.#process.exitCode ?? this.#process.signalCode
    if (gone === null) {
      const exited = once(this.#process, 'exit')
      this.#process.kill(signal)
      await exited
    }
    process.removeListener('exit', this.#killOnExit)
    return this.#process.exitCode
  }

  // remove ends the process and takes its directory away.
  async remove() {
    await this.kill()
    await rm(this.#dir, { recursive: true, force: true })
  }

  // api calls the server API; an error reply is thrown, with its code.
  async api(method, request = {}) {
    const response = await fetch(`http://${this.addr}/api/${method}`, {
      method: 'POST',
      headers: { 'X-API-Key': this.#config?.api?.key ?? 'dev', 'Content-Type': 'application/json' },
      body: JSON.stringify(request)
    })
    const reply = await response.json()
    if (reply.error) throw Object.assign(new Error(`${method}: ${reply.error.message}`), { code: reply.error.code })
    return reply.result ?? reply // batch answers with replies
  }

  // metric is the value of one series of /metrics.
  async metric(series) {
    const response = await fetch(`http://${this.addr}/metrics`, { headers: { 'X-API-Key': this.#config?.api?.key ?? 'dev' } })
    const line = (await response.text()).split('\n').find((l) => l.startsWith(series + ' '))
    if (!line) throw new Error(`/metrics has no ${series}`)
    return Number(line.slice(series.length))
  }
}

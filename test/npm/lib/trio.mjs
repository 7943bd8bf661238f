// Three servers that are one cluster.
import net from 'node:net'
import { once } from 'node:events'
import { until } from './client.mjs'
import { Server } from './server.mjs'

const READY_TIMEOUT = 60_000

// Nodes listen for each other on ports below those that systems give to connections,
// so that they find them free again.
async function freePort() {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 10_000)
    const probe = net.createServer().listen(port, '127.0.0.1')
    const taken = await Promise.race([once(probe, 'listening').then(() => false), once(probe, 'error').then(() => true)])
    if (taken) continue
    probe.close()
    await once(probe, 'close')
    return port
  }
}

// trio starts three servers with the same settings, and returns once all are ready.
export async function trio(config) {
  const peers = []
  while (peers.length < 3) {
    const peer = `127.0.0.1:${await freePort()}`
    if (!peers.includes(peer)) peers.push(peer)
  }
  const settings = { ...config, cluster: { name: 'npm', secret: 'npm-suite-cluster-secret', peers } }
  const servers = []
  try {
    for (const [i, listen] of peers.entries()) {
      servers.push(await Server.start({ ...settings, cluster: { ...settings.cluster, node: `n${i + 1}`, listen } }))
    }
    for (const server of servers) await until('a node is ready', () => ready(server), READY_TIMEOUT)
  } catch (error) {
    await Promise.all(servers.map((s) => s.remove()))
    throw error
  }
  return servers
}

// ready reports whether a node says that it is.
export async function ready(server) {
  const answer = await fetch(`http://${server.addr}/ready`).catch(() => undefined)
  await answer?.body?.cancel()
  return answer?.ok === true
}

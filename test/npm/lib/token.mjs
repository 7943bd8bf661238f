// HS256 tokens (RFC 7519), as a backend makes them.
import { createHmac } from 'node:crypto'
import { secret } from './config.mjs'

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url')
export const now = () => Math.floor(Date.now() / 1000)

export function token(claims, key = secret) {
  const body = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode(claims)}`
  return `${body}.${createHmac('sha256', key).update(body).digest('base64url')}`
}

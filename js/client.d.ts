// Types of client.js. What has no type here is not for users.
//
//   import { Client } from 'https://push.example.com/client.js'
//
//   const client = new Client({ url: 'https://push.example.com', token: () => fetch('/token').then((r) => r.text()) })
//   client.subscribe('news', ({ data }) => console.log(data))
//   client.connect()

/** In the order in which they are tried. See docs/transports.md. */
export type Transport = 'websocket' | 'http_stream' | 'sse' | 'poll'

/**
 * waiting: for the next try, which comes by itself. disconnected: nothing comes by
 * itself; never connected, disconnect() was called, or the server refused for good.
 */
export type State = 'disconnected' | 'connecting' | 'connected' | 'waiting'

/** A token, or how to get one: it is called when there is none, and before or when
 * one expires. channel is undefined for the connection. When it fails it is tried
 * again. An empty token means none. */
export type Token = string | ((channel?: string) => string | Promise<string>)

export interface Options {
  /** The server's address, http(s) or ws(s); default: the page's own origin. */
  url?: string
  /** Connection token; without one the client is anonymous. */
  token?: Token
  /** What the client calls itself, as seen in the server's lists. Default: "js". */
  name?: string
  /** Which transports to use, best first. Those that this runtime lacks are left out. */
  transports?: Transport[]
  /** Milliseconds for a connection, a reply, and silence beyond the server's ping
   * interval. Default: 10000. */
  timeout?: number
  /** Ceiling of the first wait before coming back, in milliseconds. It doubles with
   * every try, and the wait is random below it. Default: 500. */
  minDelay?: number
  /** Ceiling of the last wait. Default: 20000; 60000 while the page is hidden or offline. */
  maxDelay?: number
  /** Keep in sessionStorage which transport worked, so that the next page of this tab
   * does not have to find out again. */
  remember?: boolean

  /** In place of the runtime's own; for tests, and where it has none. */
  WebSocket?: typeof WebSocket
  fetch?: typeof fetch
  EventSource?: typeof EventSource
  sessionStorage?: Pick<Storage, 'getItem' | 'setItem'>
}

/** Where a channel or a subscriber stands. */
export interface Position {
  epoch: string
  offset: number
}

export interface SessionInfo {
  user: string
  client: string
  conn_info?: unknown
  chan_info?: unknown
}

export interface Publication {
  channel: string
  data: any
  /** 0: the channel keeps no history. */
  offset: number
  epoch: string
  /** Name of the event, for publications of Pusher's protocol and others that have one. */
  event: string | undefined
  tags: Record<string, string>
  /** Who published; null: a backend. */
  info: SessionInfo | null
  /** Unix milliseconds; 0: unknown. */
  time: number
  /** It was missed, and is from history. */
  recovered: boolean
}

export interface Subscribed {
  channel: string
  /** null: the channel has no positions, and nothing can be recovered. */
  position: Position | null
  /** The client came back, or began at a position. */
  wasRecovering: boolean
  /** What was missed follows. false with wasRecovering: it is lost, read your state anew. */
  recovered: boolean
  /** How many publications follow at once; more may come as they are read. */
  missed: number
}

export interface Ended {
  channel: string
  /** 0: by unsubscribe(). Otherwise an error or unsubscribe code, see docs/codes.md. */
  code: number
  reason: string
}

export interface StateChange {
  state: State
  was: State
  transport: Transport
  /** connected: the session's id; "" over long poll. */
  id?: string
  /** waiting, disconnected: why; 0: no code was given. */
  code?: number
  reason?: string
  /** waiting: milliseconds until the next try. */
  wait?: number
}

export interface Fallback {
  from: Transport
  to: Transport
  reason: string
}

export interface SubscriptionEvents {
  subscribed: Subscribed
  publication: Publication
  join: { channel: string; info: SessionInfo }
  leave: { channel: string; info: SessionInfo }
  /** The subscription has ended for good. */
  unsubscribed: Ended
}

/** Events of all subscriptions, also those that the server made, and of the connection. */
export interface ClientEvents extends SubscriptionEvents {
  state: StateChange
  /** A transport did not work and the next one is tried. */
  fallback: Fallback
  /** The set of subscriptions, or the state of one, has changed. */
  subscriptions: undefined
}

export interface SubscribeOptions {
  onPublication?: (publication: Publication) => void
  /** Subscription token, for channels that need one. */
  token?: Token
  /** Ask for join and leave. */
  joinLeave?: boolean
  /** Begin after this position. */
  since?: Position
  /** Keep the position in sessionStorage: after a reload of the page the subscription
   * brings what was published meanwhile. A tab that crashes can be brought the last
   * quarter of a second again. */
  remember?: boolean
}

export interface HistoryOptions {
  /** 0 (default): only the position; -1: as much as one page holds. */
  limit?: number
  since?: Position
  reverse?: boolean
}

export interface History extends Position {
  publications: Publication[]
}

/** Why a call failed. Codes are those of docs/codes.md; 0: there was no answer. */
export class FanfareError extends Error {
  code: number
  /** The same call may succeed later. With code 0 it may have been done, too. */
  temporary: boolean
}

declare class Emitter<Events> {
  /** Calls listener on every event of a type, until the returned function is called. */
  on<Type extends keyof Events>(type: Type, listener: (detail: Events[Type]) => void): () => void
}

/**
 * One session and its subscriptions. It comes back by itself, with another transport
 * where one does not work, and brings what was missed. Calls wait for the connection
 * for as long as a reply may take; while disconnected they fail at once. Over long
 * poll only subscriptions work: other calls fail with code 108.
 */
export class Client extends Emitter<ClientEvents> {
  constructor(options?: Options)
  readonly state: State
  /** The session's id, while connected. */
  readonly id: string
  /** The transport in use, or tried. */
  readonly transport: Transport
  /** By channel. */
  readonly subscriptions: Map<string, Subscription>
  /** Connects; while waiting, tries again within half a second. */
  connect(): void
  /** Ends the connection. Subscriptions keep their positions for the next connect(). */
  disconnect(): void
  /** Subscribes, now or when connected. A channel has one subscription at most. */
  subscribe(channel: string, options?: SubscribeOptions | ((publication: Publication) => void)): Subscription
  publish(channel: string, data: unknown): Promise<void>
  /** Who is subscribed, by session id. */
  presence(channel: string): Promise<Record<string, SessionInfo>>
  history(channel: string, options?: HistoryOptions): Promise<History>
}

export class Subscription extends Emitter<SubscriptionEvents> {
  private constructor()
  readonly client: Client
  readonly channel: string
  readonly state: 'waiting' | 'subscribing' | 'subscribed' | 'unsubscribed'
  readonly position: Position | null
  /** What is missed while away can be brought. */
  readonly recoverable: boolean
  /** The server made it. */
  readonly server: boolean
  /** Ends it, and forgets its position. */
  unsubscribe(): void
  publish(data: unknown): Promise<void>
  presence(): Promise<Record<string, SessionInfo>>
  history(options?: HistoryOptions): Promise<History>
}

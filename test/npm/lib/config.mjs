// The settings that the suites run under: a namespace for each kind of channel.
export const secret = 'npm-suite-secret'

const open = {
  allow_subscribe_for_client: true, allow_subscribe_for_anonymous: true,
  allow_publish_for_client: true, allow_publish_for_anonymous: true,
  allow_history_for_client: true, allow_history_for_anonymous: true,
  allow_presence_for_client: true, allow_presence_for_anonymous: true
}
const history = { history_size: 200, history_ttl: '1h', force_recovery: true }

// often is for tests of pings alone: with it a machine that is busy is soon taken
// for a connection that is dead.
export const often = (settings, seconds = 1) => ({
  ...settings, client: { ...settings.client, ping_interval: `${seconds}s`, pong_timeout: `${seconds * 1000 - 100}ms` }
})

export const config = {
  app: { secret },
  api: { key: 'npm' },
  client: { allow_anonymous: true, outbox_max_bytes: 256 << 10 },
  channel: {
    namespaces: [
      { name: 'plain', ...open },
      { name: 'history', ...open, ...history },
      { name: 'memory', ...open, ...history, history_durability: 'memory' },
      { name: 'long', ...open, ...history, history_size: 20000, history_durability: 'memory' },
      { name: 'delta', ...open, ...history, allowed_delta_types: ['fossil'] },
      { name: 'tagged', ...open, ...history, allow_tags_filter: true },
      { name: 'listed', ...open, ...history, allow_subscribe_for_anonymous: false, allow_user_limited_channels: true },
      { name: 'small', ...open, ...history, history_size: 3 },
      { name: 'cache', ...open, ...history, force_recovery_mode: 'cache' },
      { name: 'who', ...open, presence: true, join_leave: true, force_push_join_leave: true },
      { name: 'users', presence: true, allow_subscribe_for_client: true, allow_publish_for_subscriber: true },
      { name: 'closed' }
    ]
  }
}

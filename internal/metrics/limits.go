package metrics

// Limit names a limit on rates or connections: the setting below limits that it is.
type Limit string

// The limits.
const (
	ConnectionsPerApp       Limit = "connections_per_app"
	ConnectionsPerUser      Limit = "connections_per_user"
	ConnectionsPerIP        Limit = "connections_per_ip"
	ConnectsPerIP           Limit = "connects_per_ip"
	ConnectsPerUser         Limit = "connects_per_user"
	ConnectsPerApp          Limit = "connects_per_app"
	SubscribesPerConnection Limit = "subscribes_per_connection"
	SubscribesPerUser       Limit = "subscribes_per_user"
	SubscribesPerIP         Limit = "subscribes_per_ip"
	SubscribesPerApp        Limit = "subscribes_per_app"
	PublishesPerConnection  Limit = "publishes_per_connection"
	PublishesPerUser        Limit = "publishes_per_user"
	PublishesPerIP          Limit = "publishes_per_ip"
	PublishesPerApp         Limit = "publishes_per_app"
	RPCsPerConnection       Limit = "rpcs_per_connection"
	RPCsPerUser             Limit = "rpcs_per_user"
	RPCsPerIP               Limit = "rpcs_per_ip"
	RPCsPerApp              Limit = "rpcs_per_app"
	BytesPerConnection      Limit = "bytes_per_connection"
	BytesPerUser            Limit = "bytes_per_user"
	BytesPerIP              Limit = "bytes_per_ip"
	BytesPerApp             Limit = "bytes_per_app"
	HistoryBytesPerApp      Limit = "history_bytes_per_app"
	APIRequestsPerKey       Limit = "api_requests_per_key"
)

func allLimits() []Limit {
	return []Limit{
		ConnectionsPerApp, ConnectionsPerUser, ConnectionsPerIP, ConnectsPerIP, ConnectsPerUser, ConnectsPerApp,
		SubscribesPerConnection, SubscribesPerUser, SubscribesPerIP, SubscribesPerApp,
		PublishesPerConnection, PublishesPerUser, PublishesPerIP, PublishesPerApp,
		RPCsPerConnection, RPCsPerUser, RPCsPerIP, RPCsPerApp,
		BytesPerConnection, BytesPerUser, BytesPerIP, BytesPerApp, HistoryBytesPerApp, APIRequestsPerKey,
	}
}

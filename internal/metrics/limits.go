package metrics

// Limit names a limit on rates or connections: the setting below limits that it is.
type Limit string

// The limits.
const (
	ConnectionsPerApp       Limit = "connections_per_app"
	ConnectionsPerUser      Limit = "connections_per_user"
	ConnectionsPerIP        Limit = "connections_per_ip"
	ConnectsPerIP           Limit = "connects_per_ip"
	SubscribesPerConnection Limit = "subscribes_per_connection"
	SubscribesPerUser       Limit = "subscribes_per_user"
	PublishesPerConnection  Limit = "publishes_per_connection"
	PublishesPerUser        Limit = "publishes_per_user"
	PublishesPerApp         Limit = "publishes_per_app"
	RPCsPerConnection       Limit = "rpcs_per_connection"
	RPCsPerUser             Limit = "rpcs_per_user"
	BytesPerConnection      Limit = "bytes_per_connection"
	BytesPerUser            Limit = "bytes_per_user"
	APIRequestsPerKey       Limit = "api_requests_per_key"
)

func allLimits() []Limit {
	return []Limit{
		ConnectionsPerApp, ConnectionsPerUser, ConnectionsPerIP, ConnectsPerIP,
		SubscribesPerConnection, SubscribesPerUser, PublishesPerConnection, PublishesPerUser, PublishesPerApp,
		RPCsPerConnection, RPCsPerUser, BytesPerConnection, BytesPerUser, APIRequestsPerKey,
	}
}

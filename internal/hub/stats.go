package hub

import "sync/atomic"

// Stats are counters since start, safe to read at any time. Every reason to drop
// or refuse something has one of its own.
type Stats struct {
	Opened        atomic.Uint64 // connections
	Connects      atomic.Uint64 // sessions that connected
	Published     atomic.Uint64 // publications accepted
	Delivered     atomic.Uint64 // publications queued for sessions
	BytesSent     atomic.Uint64
	BytesReceived atomic.Uint64

	DroppedOutbox      atomic.Uint64 // messages in the outbox of a session that was too slow
	RefusedBusy        atomic.Uint64 // publications after publish_wait, or with the line full
	RefusedSize        atomic.Uint64 // publications too large
	RefusedTokens      atomic.Uint64
	RefusedChannels    atomic.Uint64 // subscriptions beyond a session's limit
	RefusedConnections atomic.Uint64 // beyond the node's limit
	Denied             atomic.Uint64 // operations without permission

	Duplicates atomic.Uint64 // publications the engine handed over twice
	Gaps       atomic.Uint64 // publications the engine left out

	Recovered    atomic.Uint64
	NotRecovered atomic.Uint64

	disconnects [len(disconnectCodes)]atomic.Uint64
}

// disconnectCodes are the codes that are counted by themselves; the last entry,
// 0, gathers those that a backend made up.
var disconnectCodes = [...]uint32{
	3000, 3001, 3004, 3005, 3006, 3008, 3009, 3010, 3011, 3012, 3013,
	3500, 3501, 3502, 3503, 3504, 3505, 3506, 3507, 3508, 3509, 0,
}

func (s *Stats) disconnected(code uint32) {
	for i, c := range disconnectCodes {
		if c == code || c == 0 {
			s.disconnects[i].Add(1)
			return
		}
	}
}

// Disconnects calls fn with every code and its count; code 0 is all others.
func (s *Stats) Disconnects(fn func(code uint32, count uint64)) {
	for i, c := range disconnectCodes {
		fn(c, s.disconnects[i].Load())
	}
}

func (s *Stats) recovered(yes bool) {
	if yes {
		s.Recovered.Add(1)
	} else {
		s.NotRecovered.Add(1)
	}
}

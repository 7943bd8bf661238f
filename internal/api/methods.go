package api

import "context"

// command is a request that was decoded; run does it and appends the result
// object. Nothing that outlives run may be in the memory of the request's body.
type command interface {
	run(ctx context.Context, h *Handler, out []byte) ([]byte, error)
}

// method is one method of the API.
type method struct {
	names    []string // of its request's fields
	optional bool     // an empty body is as good as {}
	decode   func(v []byte) (command, error)
}

// requestOf is a pointer to R that is a command.
type requestOf[R any] interface {
	*R
	command
}

func newMethod[R any, P requestOf[R]](fields []field[R]) *method {
	m := &method{decode: func(v []byte) (command, error) {
		r := P(new(R))
		return r, decode(v, (*R)(r), fields)
	}}
	for _, f := range fields {
		m.names = append(m.names, f.name)
	}
	return m
}

// newMethods is every method by name. A new one is added here, to openapi.json
// and to the table of its test.
func (h *Handler) newMethods() map[string]*method {
	methods := map[string]*method{
		"publish":        newMethod(publishFields()),
		"broadcast":      newMethod(broadcastFields()),
		"batch":          newMethod(h.batchFields()),
		"subscribe":      newMethod(subscribeFields()),
		"unsubscribe":    newMethod(unsubscribeFields()),
		"disconnect":     newMethod(disconnectFields()),
		"presence":       newMethod(presenceFields()),
		"presence_stats": newMethod(presenceStatsFields()),
		"history":        newMethod(historyFields()),
		"history_remove": newMethod(historyRemoveFields()),
		"channels":       newMethod(channelsFields()),
		"dead_letters":   newMethod(deadLettersFields()),
		"info":           newMethod([]field[infoRequest]{}),
		"refresh":        newMethod(refreshFields()),
		"rpc":            newMethod(rpcFields()),
	}
	methods["channels"].optional = true
	methods["dead_letters"].optional = true
	methods["info"].optional = true
	return methods
}

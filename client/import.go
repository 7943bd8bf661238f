package client

import (
	"context"
	"fmt"
)

// Imported is what became of a piece of history.
type Imported struct {
	There bool  // nothing of it was missing
	Err   error // an *Error: it was not taken; nil: it was, or is there
}

// ImportHistory gives a cluster pieces of the channels of a node that was alone, each
// of another channel; it takes the operator's key. `fanfare cluster import` makes
// them. Repeating a call does no harm.
func (a *API) ImportHistory(ctx context.Context, pieces [][]byte) ([]Imported, error) {
	request := struct {
		Pieces [][]byte `json:"pieces"` // base64
	}{pieces}
	var reply struct {
		Pieces []struct {
			There bool      `json:"there"`
			Error *apiError `json:"error"`
		} `json:"pieces"`
	}
	if err := a.call(ctx, "history_import", request, &reply); err != nil {
		return nil, err
	}
	if len(reply.Pieces) != len(pieces) {
		return nil, fmt.Errorf("history_import: %d answers to %d pieces", len(reply.Pieces), len(pieces))
	}
	list := make([]Imported, len(pieces))
	for i, p := range reply.Pieces {
		list[i].There = p.There
		if p.Error != nil {
			list[i].Err = p.Error.error(0)
		}
	}
	return list, nil
}

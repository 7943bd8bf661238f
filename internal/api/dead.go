package api

import (
	"context"

	"github.com/fanfare-push/fanfare/internal/channel"
)

type deadLettersRequest struct{ page }

func deadLettersFields() []field[deadLettersRequest] {
	return pageFields(func(r *deadLettersRequest) *page { return &r.page })[:1] // there is no cursor
}

func (r *deadLettersRequest) run(ctx context.Context, h *call, out []byte) ([]byte, error) {
	limit, err := r.rows(&h.limits)
	if err != nil {
		return out, err
	}
	out = append(out, `{"events":[`...)
	if h.dead == nil || h.app != channel.DefaultApp { // they are told of the default App alone
		return append(out, `]}`...), nil
	}
	events, err := h.dead(ctx, limit)
	if err != nil {
		return out, err
	}
	for i, e := range events {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, e...)
	}
	return append(out, `]}`...), nil
}

package api

import "context"

type deadLettersRequest struct{ page }

func deadLettersFields() []field[deadLettersRequest] {
	return pageFields(func(r *deadLettersRequest) *page { return &r.page })[:1] // there is no cursor
}

func (r *deadLettersRequest) run(ctx context.Context, h *Handler, out []byte) ([]byte, error) {
	limit, err := r.rows(&h.limits)
	if err != nil {
		return out, err
	}
	out = append(out, `{"events":[`...)
	if h.dead == nil {
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

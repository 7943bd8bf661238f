package api

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/fanfare-push/fanfare/internal/hub"
)

// inParallel calls fn for 0 to n-1, at most maxParallel at once, and returns when
// all are done.
func inParallel(n int, fn func(i int)) {
	if n == 1 {
		fn(0)
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(n, maxParallel) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				fn(i)
			}
		})
	}
	wg.Wait()
}

type batchRequest struct {
	commands []entry
	more     bool // than are allowed
	parallel bool
}

// entry is one command of a batch, or why it is none.
type entry struct {
	method  string
	command command
	err     error
}

func (h *Handler) batchFields() []field[batchRequest] {
	return []field[batchRequest]{
		{"commands", func(r *batchRequest, v []byte) error { return h.setCommands(r, v) }},
		{"parallel", flag(func(r *batchRequest) *bool { return &r.parallel })},
	}
}

// setCommands decodes all commands before any is run: a batch that is malformed
// does nothing.
func (h *Handler) setCommands(r *batchRequest, v []byte) error {
	if isNull(v) {
		return nil
	}
	if v[0] != '[' {
		return badRequest("must be an array of commands, is %s", kind(v))
	}
	for c := cursorOf(v); c.element(); {
		if r.more = len(r.commands) == h.limits.MaxCommands; r.more {
			return nil
		}
		e, err := h.entry(c.value)
		if err != nil {
			return within(strconv.Itoa(len(r.commands)), err)
		}
		r.commands = append(r.commands, e)
	}
	return nil
}

// entry decodes {"method": {…}}. A method that is not known, or more than one,
// concerns that entry alone.
func (h *Handler) entry(v []byte) (e entry, err error) {
	if v[0] != '{' {
		return e, badRequest("must be an object, is %s", kind(v))
	}
	for c := cursorOf(v); c.member(); {
		name := string(c.key)
		m := h.methods[name]
		switch {
		case isNull(c.value):
			continue
		case m == nil || name == "batch":
			e.err = noMethod(name)
			continue
		case e.method != "":
			e.err = badRequest("a command has one method, not %s and %s", e.method, name)
			continue
		}
		e.method = name
		if e.command, err = m.decode(c.value); err != nil {
			return e, within(name, err)
		}
	}
	if e.method == "" && e.err == nil {
		e.err = badRequest("a command names a method, as in {\"publish\": {…}}")
	}
	return e, nil
}

func (r *batchRequest) run(ctx context.Context, h *call, out []byte) ([]byte, error) {
	if len(r.commands) == 0 {
		return out, badRequest("commands is required")
	}
	if r.more {
		return out, limitExceeded("more than %d commands", h.limits.MaxCommands)
	}
	for i := range r.commands {
		if e := &r.commands[i]; e.err == nil {
			if f := h.may(h.methods[e.method].scope); f != nil {
				e.err = f
				h.refusedScope(&h.caller, e.method, f)
			}
		}
	}
	out = append(out, `{"replies":[`...)
	if r.parallel {
		out = r.runParallel(ctx, h, out)
	} else {
		out = r.runInOrder(ctx, h, out)
	}
	return append(out, `]}`...), nil
}

// runInOrder runs one command after the other, but hands publishes that follow
// each other to the hub together.
func (r *batchRequest) runInOrder(ctx context.Context, h *call, out []byte) []byte {
	start := len(out)
	for rest := r.commands; len(rest) > 0; {
		if len(out) > start {
			out = append(out, ',')
		}
		n := max(publishesAhead(rest), 1)
		if n == 1 || len(out)-start > h.limits.MaxReply {
			n = 1
			out = rest[0].reply(ctx, h, out, len(out)-start)
		} else {
			out = publishTogether(ctx, h, rest[:n], out)
		}
		rest = rest[n:]
	}
	return out
}

// publishesAhead is how many publishes the commands begin with.
func publishesAhead(commands []entry) (n int) {
	for n < len(commands) && commands[n].publish() != nil {
		n++
	}
	return n
}

// publish is the request of a publish, nil for every other command.
func (e *entry) publish() *publishRequest {
	if e.err != nil {
		return nil
	}
	r, _ := e.command.(*publishRequest)
	return r
}

// publishTogether answers commands that are all publishes. Their replies are about
// as large as a command each and so within the limit of the request.
func publishTogether(ctx context.Context, h *call, commands []entry, out []byte) []byte {
	answers := make([]hub.Published, len(commands))
	o := newOrders(len(commands))
	for i := range commands {
		p, err := commands[i].publish().publication(h)
		if err != nil {
			answers[i].Err = err
		} else {
			o.add(i, p)
		}
	}
	o.publish(ctx, h, answers)
	for i, a := range answers {
		if i > 0 {
			out = append(out, ',')
		}
		if a.Err != nil {
			out = appendRefusal(ctx, h, out, a.Err)
			continue
		}
		out = appendField(append(out, '{'), commands[i].method)
		out = append(appendPublishResult(out, a.PublishResult), '}')
	}
	return out
}

func (r *batchRequest) runParallel(ctx context.Context, h *call, out []byte) []byte {
	replies := make([][]byte, len(r.commands))
	var size atomic.Int64
	inParallel(len(replies), func(i int) {
		replies[i] = r.commands[i].reply(ctx, h, nil, int(size.Load()))
		size.Add(int64(len(replies[i])))
	})
	for i, reply := range replies {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, reply...)
	}
	return out
}

// reply runs the command and appends {"method": result} or {"error": …}. size is
// how many bytes the replies have already.
func (e *entry) reply(ctx context.Context, h *call, out []byte, size int) []byte {
	start, err := len(out), e.err
	if err == nil && size > h.limits.MaxReply {
		err = limitExceeded("not done: the replies of the batch have more than %d bytes", h.limits.MaxReply)
	}
	if err == nil {
		out = appendField(append(out, '{'), e.method)
		if out, err = h.do(ctx, e.command, out); err == nil {
			return append(out, '}')
		}
	}
	return appendRefusal(ctx, h, out[:start], err)
}

func appendRefusal(ctx context.Context, h *call, out []byte, err error) []byte {
	out = append(out, `{"error":`...)
	out = appendFault(out, h.faultOf(ctx, "batch", err))
	return append(out, '}')
}

package api

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/fanfare-push/fanfare/internal/audit"
)

// Import takes a piece of the history of a channel of a node that was alone: bytes
// whose form is not the API's business. there says that nothing of it was missing.
// Errors: those of ErrBadPiece to ErrPieceOrder, and of an engine's publish.
type Import func(ctx context.Context, piece []byte) (there bool, err error)

// Errors of an Import. What they wrap is told to the caller.
var (
	ErrBadPiece      = errors.New("it cannot be read")
	ErrPieceTooLarge = errors.New("it does not fit into a message of the log")
	ErrPieceConflict = errors.New("the channel is in the cluster with another history")
	ErrPieceOrder    = errors.New("a newer piece of the channel is missing")
)

// importTimeout bounds one request.
const importTimeout = 30 * time.Second

type historyImportRequest struct {
	pieces [][]byte
	more   bool // than are allowed
}

func (h *Handler) historyImportFields() []field[historyImportRequest] {
	return []field[historyImportRequest]{
		{"pieces", func(r *historyImportRequest, v []byte) error { return h.setPieces(r, v) }},
	}
}

func (h *Handler) setPieces(r *historyImportRequest, v []byte) error {
	var list []string
	if err := texts(func(l *[]string) *[]string { return l })(&list, v); err != nil {
		return err
	}
	if r.more = len(list) > h.limits.MaxCommands; r.more {
		return nil
	}
	for i, s := range list {
		piece, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			return within(strconv.Itoa(i), badRequest("%v", err))
		}
		r.pieces = append(r.pieces, piece)
	}
	return nil
}

func (r *historyImportRequest) audited() audit.Entry {
	return audit.Entry{Action: "history_import", Detail: fmt.Sprintf("%d pieces", len(r.pieces))}
}

func (r *historyImportRequest) run(ctx context.Context, h *call, out []byte) ([]byte, error) {
	switch {
	case r.more:
		return out, limitExceeded("more than %d pieces", h.limits.MaxCommands)
	case len(r.pieces) == 0:
		return out, badRequest("pieces is required")
	case h.importer == nil:
		return out, notSupported("this method", "history is imported into a cluster, through a node that keeps an index: this one is alone, or an edge node")
	}
	there, errs := make([]bool, len(r.pieces)), make([]error, len(r.pieces))
	ctx, cancel := context.WithTimeout(ctx, importTimeout)
	defer cancel()
	// All at once, as they share messages of the log: to wait for some before the
	// next is what would take long.
	var wg sync.WaitGroup
	for i := range r.pieces {
		wg.Go(func() { there[i], errs[i] = h.importer(ctx, r.pieces[i]) })
	}
	wg.Wait()
	out = append(out, `{"pieces":[`...)
	for i, err := range errs {
		if i > 0 {
			out = append(out, ',')
		}
		if err != nil {
			out = append(appendFault(append(out, `{"error":`...), h.faultOf(ctx, "history_import", imported(err))), '}')
			continue
		}
		out = strconv.AppendBool(append(out, `{"there":`...), there[i])
		out = append(out, '}')
	}
	return append(out, `]}`...), nil
}

// imported names an error of an Import.
func imported(err error) error {
	for _, is := range []struct {
		err    error
		code   uint32
		status int
	}{
		{ErrBadPiece, codeBadRequest, http.StatusBadRequest},
		{ErrPieceTooLarge, codeLimitExceeded, http.StatusRequestEntityTooLarge},
		{ErrPieceConflict, codeBadRequest, http.StatusConflict},
		{ErrPieceOrder, codeBadRequest, http.StatusConflict},
	} {
		if errors.Is(err, is.err) {
			return final(is.code, is.status, err.Error())
		}
	}
	return err
}

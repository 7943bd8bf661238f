package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/fanfare-push/fanfare/internal/api"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/engine/cluster"
)

// importer gives the server API the way for the history of a node that was alone;
// nil: this one is.
func (a *App) importer() api.Import {
	c := a.engine.cluster
	if c == nil {
		return nil
	}
	return func(ctx context.Context, piece []byte) (there bool, err error) {
		res, err := engine.Await(ctx, func(done func(engine.PublishResult, error)) { c.Adopt(piece, done) })
		return res.Duplicate, pieceError(err)
	}
}

// pieceError says in the API's words why a piece was not taken.
func pieceError(err error) error {
	switch {
	case errors.Is(err, cluster.ErrNoPiece):
		return fmt.Errorf("%w: %w", api.ErrBadPiece, err)
	case errors.Is(err, cluster.ErrTooLarge):
		return api.ErrPieceTooLarge
	case errors.Is(err, cluster.ErrOtherChannel):
		return api.ErrPieceConflict
	case errors.Is(err, cluster.ErrNotNext):
		return api.ErrPieceOrder
	}
	return err
}

package centrifuge

import (
	"unicode/utf8"

	"github.com/centrifugal/fdelta"

	"github.com/fanfare-push/fanfare/internal/hub"
)

// A subscription with delta (SubscribeRequest.delta) is sent publications as
// changes since the one before, in the format of Fossil
// (fossil-scm.org/home/doc/tip/www/delta_format.wiki). In JSON its data is always
// a string: the text of the whole, or of the change. Where a change would not be
// shorter, or is not text, the whole is sent.

// change is the publication's data as a change; nil: the whole is to be sent. text
// says that it has to be valid in a JSON string.
func change(e *hub.Event, text bool) []byte {
	base, pub := e.Delta.Base, e.Publication
	if base == nil || text && (base.Binary || pub.Binary) {
		return nil
	}
	patch := e.Delta.Patch(pub.Data, fdelta.Create)
	if len(patch) >= len(pub.Data) || text && !utf8.Valid(patch) {
		return nil
	}
	return patch
}

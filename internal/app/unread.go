package app

import (
	"net/http"
	"time"
)

// responseTimeout is how long a client may take to read a response. What carries
// sessions, and the page's stream, have times of their own for each write.
const responseTimeout = time.Minute

// readable ends a connection whose client asks and does not read: nothing else
// would, and the response would keep its goroutine for ever.
func readable(within time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(within)) // fails where there is no connection, as in tests
		next.ServeHTTP(w, r)
	})
}

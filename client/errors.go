package client

import (
	"errors"
	"fmt"
	"net/http"
)

// Error is an answer of the server that something was not done.
type Error struct {
	Code      int    // of the protocol: 100 to 199, of a disconnect: 3000 to 4999; 0: the answer was not the server's own
	Message   string // for people
	Temporary bool   // the same may succeed later
	Status    int    // HTTP status; 0: not answered over HTTP
	RequestID string // connects an internal error with the server's log; "": none
}

// Error implements error.
func (e *Error) Error() string {
	if e.Code == 0 {
		return fmt.Sprintf("HTTP %d: %s", e.Status, e.Message)
	}
	if e.RequestID != "" {
		return fmt.Sprintf("%s (code %d, request %s)", e.Message, e.Code, e.RequestID)
	}
	return fmt.Sprintf("%s (code %d)", e.Message, e.Code)
}

// Codes of errors, and of the disconnects that this package acts on.
const (
	CodeInternal         = 100
	CodeUnauthorized     = 101
	CodeUnknownChannel   = 102
	CodePermissionDenied = 103
	CodeNotFound         = 104
	CodeLimitExceeded    = 106
	CodeBadRequest       = 107
	CodeNotAvailable     = 108
	CodeTokenExpired     = 109
	CodeTooManyRequests  = 111
	CodeUnrecoverable    = 112

	codeConnectionExpired = 3005
)

// CodeOf is the code of an *Error in err's chain, 0 if there is none.
func CodeOf(err error) int {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}

// temporaryStatus says which HTTP statuses of servers and proxies are worth
// another attempt.
func temporaryStatus(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return status >= http.StatusInternalServerError
}

// final reports that asking again cannot help.
func final(err error) bool {
	var e *Error
	return errors.As(err, &e) && !e.Temporary
}

package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Entry says what somebody did, or tried to.
type Entry struct {
	Action string // method of the API, or one of the actions below
	App    string
	Target Target
	KeyID  string // of the key that was given; "": none was
	Remote string // address and port of the peer
	Detail string // what else there is to say, such as the reason of a disconnect
}

// Target is what an action is about; what does not apply is "".
type Target struct {
	Channel string `json:"channel,omitempty"`
	User    string `json:"user,omitempty"`
	Client  string `json:"client,omitempty"`
	Method  string `json:"method,omitempty"` // that a refused key was given for
}

// Actions that are no methods of the API.
const (
	KeyRefused      = "key_refused"      // a key or a signature was missing or wrong
	PasswordRefused = "password_refused" // of the page
	Opened          = "log_opened"       // the file was opened, at the start or for SIGHUP
	Reload          = "reload"           // SIGHUP: files of settings were read again
)

// Outcome is how an action ended.
type Outcome string

// The outcomes.
const (
	Begun   Outcome = "begun" // about to be done; only with Config.Required
	OK      Outcome = "ok"
	Refused Outcome = "refused" // nothing was done
	Failed  Outcome = "failed"  // how much was done is in the server's log, if anywhere
)

// MaxText is the longest text in a line, in bytes before it is escaped; what is
// longer is cut, with … at its end.
const MaxText = 255

// KeyID names a key without giving it away: the first 8 hexadecimal digits of its
// SHA-256; "" for "".
func KeyID(key string) string {
	if key == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:4])
}

// line is an Entry as it is written.
type line struct {
	Time       string  `json:"time"` // RFC 3339, UTC
	ID         string  `json:"id"`   // the same in the lines of one action
	Action     string  `json:"action"`
	App        string  `json:"app,omitempty"`
	Target     *Target `json:"target,omitempty"`
	Key        string  `json:"key,omitempty"`
	Remote     string  `json:"remote,omitempty"`
	Detail     string  `json:"detail,omitempty"`
	Outcome    Outcome `json:"outcome"`
	Error      string  `json:"error,omitempty"`
	Suppressed uint64  `json:"suppressed,omitempty"` // refusals that were not written down before this one
}

const timeFormat = "2006-01-02T15:04:05.000Z07:00"

func (e *Entry) line(id string, at time.Time, outcome Outcome, problem string) *line {
	l := &line{
		Time: at.UTC().Format(timeFormat), ID: id, Action: cut(e.Action), App: cut(e.App), Key: cut(e.KeyID),
		Remote: cut(e.Remote), Detail: cut(e.Detail), Outcome: outcome, Error: cut(problem),
	}
	if e.Target != (Target{}) {
		l.Target = &Target{
			Channel: cut(e.Target.Channel), User: cut(e.Target.User), Client: cut(e.Target.Client), Method: cut(e.Target.Method),
		}
	}
	return l
}

// cut keeps the beginning of a long text, up to the end of a character.
func cut(s string) string {
	if len(s) <= MaxText {
		return s
	}
	end := MaxText
	for end > MaxText-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}

// encode is the line with its end: JSON in which every character is printable, so
// that neither a line break nor what a terminal obeys comes through.
func (l *line) encode() ([]byte, error) {
	text, err := json.Marshal(l)
	if err != nil {
		return nil, err
	}
	var out strings.Builder
	for _, r := range string(text) { // beyond ASCII there are only characters within strings
		if r == ' ' || unicode.IsPrint(r) {
			out.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&out, `\u%04x`, unit)
		}
	}
	return []byte(out.String() + "\n"), nil
}

// Auditor is told of every call that changes something other than by publishing.
// *Log is one.
type Auditor interface {
	// Begin is told before it is done. Its error refuses the call; otherwise done
	// is told how it ended, once.
	Begin(e Entry) (done func(o Outcome, problem string), err error)
	// Refuse is told of what was missing or wrong: a key or a signature, or what else
	// e.Action says.
	Refuse(e Entry, problem string)
}

var _ Auditor = (*Log)(nil)

package httpstream

import (
	"encoding/binary"

	"github.com/fanfare-push/fanfare/internal/pack"
)

// This page is what nodes say to each other of the sessions of an XHR, where a request
// has reached another node than that of its session. The session stays where it is,
// and the response where the request came: a relay joins them. The node of the request
// finds that of the session by its name, and opens the relay; it makes up its id. What
// the session has to say then comes in parts, which follow each other without a gap,
// at most relayWindow bytes beyond what the response has taken.
//
// To the node of the session:
//
//	said     session, texts   a request said this; there is no relay, and no answer
//	open     session, polls?  a response waits for what the session has to say
//	took     count            bytes that the response has taken, in all
//	left                      the client has left the response
//	enough                    the response has to end, its node stops
//
// To the node of the response:
//
//	part     count, bytes     follow count bytes of the response; without any, first: it begins
//	last     count, status, bytes  the same, and the response ends with them
//	broken                    the response is broken off
//
// A part without bytes comes every relayBeat, and is answered with took: who hears
// nothing for relaySilence gives the relay up, as does who takes the other node for
// dead. Messages may be lost. Then a part does not follow the one before, or its
// relay is not known: the response is broken off, which tells its client that
// something is missing, and the session has lost its response as if the client had.
//
// Every message is a version, its kind, the node that sent it, the relay, the session,
// polls?, count, status and bytes: strings begin with their length, numbers are
// unsigned varints, and the bytes go on to the end. Texts are strings in the place of
// bytes, and not the JSON that the client has sent, which may be long for what it says.

const relayVersion = 1

type relayKind uint8

const (
	relaySaid relayKind = iota + 1
	relayOpen
	relayTook
	relayLeft
	relayEnough
	relayPart
	relayLast
	relayBroken
	relayUnknown // and all above
)

// relayMessage is one message; which fields are set depends on its kind.
type relayMessage struct {
	kind    relayKind
	from    string // node
	relay   string // id
	session string
	polls   bool
	count   uint64
	status  int
	bytes   []byte
}

func (m *relayMessage) append(dst []byte) []byte {
	dst = pack.AppendString(append(dst, relayVersion, byte(m.kind)), m.from)
	dst = pack.AppendString(pack.AppendString(dst, m.relay), m.session)
	polls := byte(0)
	if m.polls {
		polls = 1
	}
	dst = binary.AppendUvarint(append(dst, polls), m.count)
	return append(binary.AppendUvarint(dst, uint64(m.status)), m.bytes...)
}

// readRelay keeps parts of b. Errors: pack.ErrMalformed, or a version that is newer
// than this program.
func readRelay(b []byte) (*relayMessage, error) {
	r := pack.Reader{B: b}
	if err := r.Version(relayVersion, "message"); err != nil {
		return nil, err
	}
	m := &relayMessage{kind: relayKind(r.Byte()), from: r.String(), relay: r.String(), session: r.String(), polls: r.Byte() == 1}
	m.count = r.Uvarint()
	status := r.Uvarint()
	m.status, m.bytes = int(status), r.B
	if m.kind == 0 || m.kind >= relayUnknown || status > 999 || m.kind == relayLast && status < 100 {
		r.Failed = true
	}
	return m, r.End("message")
}

func appendTexts(dst []byte, texts []string) []byte {
	for _, t := range texts {
		dst = pack.AppendString(dst, t)
	}
	return dst
}

// readTexts is what appendTexts wrote. Error: pack.ErrMalformed.
func readTexts(b []byte) (texts []string, err error) {
	r := pack.Reader{B: b}
	for len(r.B) > 0 && !r.Failed {
		texts = append(texts, r.String())
	}
	return texts, r.End("texts")
}

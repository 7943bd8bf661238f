package bus

import (
	"errors"
	"testing"
	"time"

	"github.com/fanfare-push/fanfare/internal/engine"
)

// mulling is a listener that takes its time to answer.
type mulling struct {
	*listener

	wait chan struct{}
}

func (m *mulling) Answer([]byte) []byte {
	<-m.wait
	return []byte("well")
}

func (*mulling) Shared([]string) {}

// A node that dies while it is asked is not waited for longer than others take to
// notice, and one that is alive and does not answer is not left out in silence.
func TestAskedNodesThatDoNotAnswer(t *testing.T) {
	srv := servers(t, 1)
	wait := make(chan struct{})
	asker := start(t, srv[0], Config{Node: "asker", QueryWait: 3 * time.Second}, newListener())
	slow := start(t, srv[0], Config{Node: "slow"}, &mulling{newListener(), wait})
	acquainted(t, []*Bus{asker, slow})
	t.Cleanup(func() { close(wait) }) // before slow is closed
	ask := func() ([]engine.Answer, error) {
		type reply struct {
			answers []engine.Answer
			err     error
		}
		replies := make(chan reply, 1)
		asker.Ask([]byte("?"), func(answers []engine.Answer, err error) { replies <- reply{answers, err} })
		r := <-replies
		return r.answers, r.err
	}
	if answers, err := ask(); !errors.Is(err, engine.ErrBusy) || len(answers) > 0 {
		t.Errorf("one that does not answer: %v, %v", answers, err)
	}
	slow.cfg.Conn.Close()
	if answers, err := ask(); err != nil || len(answers) > 0 {
		t.Errorf("one that is dead: %v, %v", answers, err)
	}
	if answers, err := ask(); err != nil || len(answers) > 0 {
		t.Errorf("nobody: %v, %v", answers, err)
	}
}

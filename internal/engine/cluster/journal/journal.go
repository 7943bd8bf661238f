package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fanfare-push/fanfare/internal/store"
)

// Config says which log it is. Everything must be set.
type Config struct {
	Conn     *nats.Conn
	Stream   string // its name in JetStream
	Subject  string // what is appended is published to
	Logs     int    // how many the cluster has
	Memory   bool   // kept in RAM
	Replicas int
	MaxBytes int64         // what is older goes first; nodes that have not applied it need a copy
	MaxAge   time.Duration // the same
	Logger   *slog.Logger
}

// duplicates is how long JetStream itself drops a message that it has.
const duplicates = 30 * time.Second

// Journal is one log. All methods are safe on any goroutine.
type Journal struct {
	cfg Config
	js  jetstream.JetStream

	absent   atomic.Pointer[[]string]
	caughtUp atomic.Int64 // when the tail last held all that its server had; Unix nanoseconds

	hurry     atomic.Bool                        // the tail is to fetch
	interrupt atomic.Pointer[context.CancelFunc] // ends the tail's wait; nil: it does not wait

	leaders *nats.Subscription // tells of every new leader
	elected atomic.Pointer[chan struct{}]
}

// ErrNotFound says that the log does not hold a message of that number.
var ErrNotFound = errors.New("no such message in the log")

// New names a log; Create sees that it is there.
func New(cfg Config) (*Journal, error) {
	js, err := jetstream.New(cfg.Conn)
	if err != nil {
		return nil, fmt.Errorf("use JetStream: %w", err)
	}
	j := &Journal{cfg: cfg, js: js}
	j.electedAnew()
	j.leaders, err = cfg.Conn.Subscribe("$JS.EVENT.ADVISORY.STREAM.LEADER_ELECTED."+cfg.Stream, func(*nats.Msg) { j.electedAnew() })
	if err != nil {
		return nil, fmt.Errorf("listen for leaders of the log %s: %w", cfg.Stream, err)
	}
	return j, nil
}

// Close ends what New has begun. The log stays.
func (j *Journal) Close() {
	_ = j.leaders.Unsubscribe() // fails only without a connection, which has no subscriptions
}

// Elected is closed when another server leads the log than now, should NATS let
// this node know: it does where the account may listen to its advisories.
func (j *Journal) Elected() <-chan struct{} { return *j.elected.Load() }

func (j *Journal) electedAnew() {
	now := make(chan struct{})
	if last := j.elected.Swap(&now); last != nil {
		close(*last)
	}
}

// Create makes the log if it is not there, and begins it if nobody has.
func (j *Journal) Create(ctx context.Context) error {
	s, err := j.find(ctx)
	if err == nil {
		err = j.check(ctx, s.CachedInfo().Config)
	}
	if err != nil {
		return fmt.Errorf("make the log %s: %w", j.cfg.Stream, err)
	}
	b, err := j.Bounds(ctx)
	if err != nil || b.Last > 0 {
		return err
	}
	return j.begin(ctx)
}

// answerTimeout is how long to wait for an answer: while several nodes make a log
// at once, and while it has no leader, not all of them are answered.
const answerTimeout = 500 * time.Millisecond

// find is the log, made if need be.
func (j *Journal) find(ctx context.Context) (jetstream.Stream, error) {
	for {
		s, err := j.findOnce(ctx)
		again := errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) || errors.Is(err, context.DeadlineExceeded)
		if !again || ctx.Err() != nil {
			return s, err
		}
	}
}

func (j *Journal) findOnce(ctx context.Context) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	s, err := j.js.Stream(ctx, j.cfg.Stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return j.js.CreateStream(ctx, j.streamConfig())
	}
	return s, err
}

// metaLogs is where a stream says how many logs its cluster has.
const metaLogs = "fanfare-logs"

// check compares the log that is there with what this node wants: nodes that
// disagree about the number of logs would look for a channel in different ones.
// Replicas may only become more.
func (j *Journal) check(ctx context.Context, have jetstream.StreamConfig) error {
	want := j.streamConfig()
	if n := have.Metadata[metaLogs]; n != want.Metadata[metaLogs] {
		return fmt.Errorf("the cluster was made with %s logs, this node is set to %d", n, j.cfg.Logs)
	}
	if have.Replicas >= want.Replicas {
		return nil
	}
	have.Replicas = want.Replicas
	_, err := j.js.UpdateStream(ctx, have)
	return err
}

func (j *Journal) streamConfig() jetstream.StreamConfig {
	c := jetstream.StreamConfig{
		Name: j.cfg.Stream, Subjects: []string{j.cfg.Subject}, Description: "log of Fanfare",
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardOld,
		MaxBytes: j.cfg.MaxBytes, MaxAge: j.cfg.MaxAge, Duplicates: min(duplicates, j.cfg.MaxAge),
		Replicas: j.cfg.Replicas, Storage: jetstream.FileStorage, AllowDirect: true,
		DenyDelete: true, Metadata: map[string]string{metaLogs: strconv.Itoa(j.cfg.Logs)},
	}
	if j.cfg.Memory {
		c.Storage = jetstream.MemoryStorage
	}
	return c
}

// begin appends the genesis, unless another node has.
func (j *Journal) begin(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	msg := &nats.Msg{Subject: j.cfg.Subject, Data: head(store.NewIncarnation(), "", 1), Header: nats.Header{
		jetstream.ExpectedLastSeqHeader: []string{"0"},
	}}
	_, err := j.js.PublishMsg(ctx, msg, jetstream.WithRetryAttempts(0))
	var refused *jetstream.APIError
	if errors.As(err, &refused) && (refused.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
		refused.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("begin the log %s: %w", j.cfg.Stream, err)
	}
	return nil
}

// Bounds is what the log's leader says of it.
type Bounds struct {
	First, Last uint64 // numbers of the messages it holds; First > Last: it holds none
	Quorum      bool   // the leader has heard of a majority of the replicas of late
	Leader      string // "": a log without replicas
}

// replicaSilent is how long a leader may not have heard of a replica that counts.
const replicaSilent = 3 * time.Second

var errLeaderless = errors.New("nobody leads it")

// Bounds asks the log's leader.
func (j *Journal) Bounds(ctx context.Context) (Bounds, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	s, err := j.js.Stream(ctx, j.cfg.Stream)
	if err != nil {
		return Bounds{}, fmt.Errorf("ask for the log %s: %w", j.cfg.Stream, err)
	}
	info := s.CachedInfo()
	if c := info.Cluster; c != nil && c.Leader == "" { // says a leader of the cluster that has waited long enough
		return Bounds{}, fmt.Errorf("ask for the log %s: %w", j.cfg.Stream, errLeaderless)
	}
	b := Bounds{First: info.State.FirstSeq, Last: info.State.LastSeq, Quorum: true}
	if c := info.Cluster; c != nil && len(c.Replicas) > 0 {
		b.Leader = c.Leader
		here, absent := 1, []string(nil)
		for _, r := range c.Replicas {
			if !r.Offline && r.Active < replicaSilent {
				here++
			} else {
				absent = append(absent, r.Name)
			}
		}
		j.absent.Store(&absent)
		b.Quorum = here > (len(c.Replicas)+1)/2
	}
	return b, nil
}

// Leaderless reports whether the log is there and nobody leads it. The cluster's
// leader says so, after some time; Leaderless fails where that one does not answer, or
// does not know yet.
func (j *Journal) Leaderless(ctx context.Context) (bool, error) {
	_, err := j.Bounds(ctx)
	switch {
	case errors.Is(err, errLeaderless):
		return true, nil
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return false, nil
	}
	return false, err
}

// Get asks the log's leader for one message, without its entries. It fails with
// ErrNotFound.
func (j *Journal) Get(ctx context.Context, seq uint64) (Message, error) {
	m, err := j.get(ctx, fmt.Appendf(nil, `{"seq":%d}`, seq))
	if err != nil {
		return Message{}, err
	}
	return decode(seq, m.Data)
}

// stored is a message as a server has it.
type stored struct {
	Seq  uint64 `json:"seq"`
	Data []byte `json:"data"`
}

// from is the number of the first message from seq on that the log's leader has. It
// fails with ErrNotFound.
func (j *Journal) from(ctx context.Context, seq uint64) (uint64, error) {
	m, err := j.get(ctx, fmt.Appendf(nil, `{"seq":%d,"next_by_subj":%q}`, seq, j.cfg.Subject))
	return m.Seq, err
}

func (j *Journal) get(ctx context.Context, which []byte) (stored, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	resp, err := j.cfg.Conn.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+j.cfg.Stream, which)
	if err != nil {
		return stored{}, fmt.Errorf("read the log %s: %w", j.cfg.Stream, err)
	}
	var r struct {
		Message *stored             `json:"message"`
		Error   *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(resp.Data, &r); err != nil {
		return stored{}, fmt.Errorf("read the log %s: %w", j.cfg.Stream, err)
	}
	switch {
	case r.Error != nil && r.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return stored{}, ErrNotFound
	case r.Error != nil:
		return stored{}, fmt.Errorf("read the log %s: %w", j.cfg.Stream, r.Error)
	case r.Message == nil:
		return stored{}, ErrNotFound
	}
	return *r.Message, nil
}

// Delete removes the log with all it holds, if it is there.
func (j *Journal) Delete(ctx context.Context) error {
	if err := j.js.DeleteStream(ctx, j.cfg.Stream); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("delete the log %s: %w", j.cfg.Stream, err)
	}
	return nil
}

// CaughtUp is when the tail last held all that its server had.
func (j *Journal) CaughtUp() time.Time { return time.Unix(0, j.caughtUp.Load()) }

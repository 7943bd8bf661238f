package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
)

// Asks are the metrics of questions to a backend.
type Asks struct {
	HookCalls   Counters[HookCall]
	HookTimes   map[string]Histogram // by hook; seconds, waiting and retries included
	HookBreaker map[string]*Gauge    // by hook; 0: closed, 1: open, 2: half open
	HookRetries *Counter
	HooksOpen   *Gauge // questions under way
	HooksWait   *Gauge // questions that wait for a place
}

// HookOutcome says how a question ended.
type HookOutcome string

// The outcomes.
const (
	HookOK          HookOutcome = "ok"
	HookError       HookOutcome = "error"        // the backend answered with an error for the client
	HookDisconnect  HookOutcome = "disconnect"   // the backend answered that the client is to go
	HookTimeout     HookOutcome = "timeout"      // no whole answer in time
	HookUnreachable HookOutcome = "unreachable"  // no connection
	HookBroken      HookOutcome = "broken"       // the connection ended before the answer
	HookStatus      HookOutcome = "status"       // an HTTP status that is no success; redirects among them
	HookMalformed   HookOutcome = "malformed"    // an answer that is none
	HookTooLarge    HookOutcome = "too_large"    // beyond hooks.max_reply_size
	HookAddress     HookOutcome = "address"      // the address is not to be called
	HookBusy        HookOutcome = "busy"         // no place among hooks.max_concurrent
	HookBreakerOpen HookOutcome = "breaker_open" // not asked: the backend has failed too often
	HookStopping    HookOutcome = "stopping"     // the server stops
)

// HookCall is what questions are counted by.
type HookCall struct {
	Hook    string
	Outcome HookOutcome
}

// Hooks are the kinds of questions.
func Hooks() []string {
	return []string{"connect", "refresh", "subscribe", "publish", "sub_refresh", "rpc"}
}

func allHookCalls() (list []HookCall) {
	for _, hook := range Hooks() {
		for _, o := range []HookOutcome{
			HookOK, HookError, HookDisconnect, HookTimeout, HookUnreachable, HookBroken, HookStatus, HookMalformed,
			HookTooLarge, HookAddress, HookBusy, HookBreakerOpen, HookStopping,
		} {
			list = append(list, HookCall{hook, o})
		}
	}
	return list
}

func (m *Metrics) newAsks(f *families) {
	m.HookCalls = counters(f, "hook_calls_total", "Questions to a backend by hook and outcome.", []string{"hook", "outcome"},
		allHookCalls(), func(c HookCall) []string { return []string{c.Hook, string(c.Outcome)} })
	m.HookRetries = f.counter("hook_retries_total", "Questions asked again because no connection could be made; nothing had been sent.")
	m.HooksOpen = f.gauge("hooks_in_flight", "Questions to a backend under way.")
	m.HooksWait = f.gauge("hooks_waiting", "Questions to a backend that wait for a place among hooks.max_concurrent.")
	breaker := f.add(prometheus.GaugeValue, "hook_breaker_state", "Whether a backend is asked, of several the worst: 0 it is, 1 it is not because it failed too often, 2 one question tries it.", "hook")
	times := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: namespace + "hook_duration_seconds", Buckets: latencies(),
		Help: "Questions to a backend until answered or given up.",
	}, []string{"hook"})
	m.registry.MustRegister(times)
	m.HookBreaker, m.HookTimes = make(map[string]*Gauge), make(map[string]Histogram)
	for _, hook := range Hooks() {
		m.HookBreaker[hook] = breaker.gauge(hook)
		m.HookTimes[hook] = Histogram{times.WithLabelValues(hook)}
	}
}

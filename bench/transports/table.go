package transports

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"
)

// The chart's axis is logarithmic.
const (
	chartWidth = 41
	chartFrom  = 100 * time.Microsecond
	chartTo    = 10 * time.Second
)

// Write writes results as a table with a small chart: a dot at the median, a ring
// where 95 % have come.
func Write(w io.Writer, c Config, results []Result) error {
	if err := c.complete(); err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d messages of %d bytes, about %g a second; short poll every %s.\n\n", c.Messages, c.Size, c.Rate, c.Every)
	fmt.Fprintf(&b, "%-20s %9s %9s %9s %9s %14s   %s\n", "", "median", "95 %", "longest", "requests", "bytes/message", axis())
	for i := range results {
		r := &results[i]
		fmt.Fprintf(&b, "%-20s %9s %9s %9s %9d %14.0f   %s\n", r.Transport, short(r.Median), short(r.P95), short(r.Max), r.Requests, r.PerMessage(), chart(r.Median, r.P95))
		if r.Received < c.Messages {
			fmt.Fprintf(&b, "%-20s only %d of %d messages arrived\n", "", r.Received, c.Messages)
		}
	}
	b.WriteString("\nDelay is from the publish call to the arrival. Bytes are all in the TCP connections,\n" +
		"both ways, without what opened them; a browser's request headers are about 500 longer.\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// short is a duration in three digits.
func short(d time.Duration) string {
	switch {
	case d <= 0:
		return "–"
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.2f ms", ms(d))
	case d < time.Second:
		return fmt.Sprintf("%.0f ms", ms(d))
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// column is where a duration stands on the axis.
func column(d time.Duration) int {
	at := math.Log(float64(d)/float64(chartFrom)) / math.Log(float64(chartTo)/float64(chartFrom))
	return int(math.Round(min(max(at, 0), 1) * (chartWidth - 1)))
}

func axis() string {
	line := []rune(strings.Repeat(" ", chartWidth+4))
	for _, t := range []struct {
		at    time.Duration
		label string
	}{{time.Millisecond, "1 ms"}, {10 * time.Millisecond, "10 ms"}, {100 * time.Millisecond, "100 ms"}, {time.Second, "1 s"}} {
		copy(line[column(t.at):], []rune(t.label))
	}
	return strings.TrimRight(string(line), " ")
}

func chart(median, p95 time.Duration) string {
	if median <= 0 {
		return ""
	}
	line := []rune(strings.Repeat(" ", chartWidth))
	from, to := column(median), column(p95)
	for i := from; i < to; i++ {
		line[i] = '─'
	}
	line[to] = '○'
	line[from] = '●'
	return strings.TrimRight(string(line), " ")
}

package main

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	m := median([]numbers{{"a": 3, "b": 1}, {"a": 1}, {"a": 2, "b": 2}})
	if m["a"] != 2 || m["b"] != 1.5 {
		t.Errorf("%v", m)
	}
}

func TestHuman(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.1234: "0.12", 7.26: "7.3", 99.94: "99.9", 100: "100", 12345: "12,345", 1234567.8: "1,234,568"} {
		if got := human(v); got != want {
			t.Errorf("human(%v) = %q, want %q", v, got, want)
		}
	}
}

func TestTable(t *testing.T) {
	tab := table{head: []string{"a", "b"}}
	tab.add("1", "2")
	if got, want := tab.String(), "| a | b |\n| --- | --- |\n| 1 | 2 |\n"; got != want {
		t.Errorf("%q", got)
	}
}

func TestFit(t *testing.T) {
	l := line{}
	for x := range 5 {
		l.add(1000*x, 30+0.002*float64(1000*x))
	}
	slope, base := l.fit()
	if math.Abs(slope-0.002) > 1e-9 || math.Abs(base-30) > 1e-6 {
		t.Errorf("slope %v, base %v", slope, base)
	}
	if (&line{}).slope() != 0 {
		t.Error("the slope of nothing")
	}
}

func TestDraw(t *testing.T) {
	a, b := line{name: "a"}, line{name: "b"}
	a.add(1000, 1)
	b.add(1000, 3)
	b.add(2000, 7)
	dec := xml.NewDecoder(strings.NewReader(draw([]line{a, b})))
	circles := 0
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "circle" {
			circles++
		}
	}
	if circles != 3 {
		t.Errorf("%d points, want 3", circles)
	}
}

func TestCeiling(t *testing.T) {
	for v, want := range map[float64]float64{0: 1, 1: 1, 3: 4, 8.1: 10, 0.03: 0.04, 123: 200} {
		if got := ceiling(v); math.Abs(got-want) > 1e-9 {
			t.Errorf("ceiling(%v) = %v, want %v", v, got, want)
		}
	}
}

func TestQuantiles(t *testing.T) {
	n := numbers{}
	var took []time.Duration
	for i := range 101 {
		took = append(took, time.Duration(100-i)*time.Millisecond)
	}
	quantiles(n, "x", took)
	quantiles(n, "none", nil)
	if n["x_p50"] != 50 || n["x_p99"] != 99 || n["x_max"] != 100 || len(n) != 3 {
		t.Error(n)
	}
}

func TestChosen(t *testing.T) {
	b := &bench{only: "fanout, idle"}
	list, err := b.chosen()
	if err != nil || len(list) != 2 || list[0].name != "fanout" || list[1].name != "idle" {
		t.Errorf("%v, %v", names(list), err)
	}
	b.only = "fan"
	if _, err := b.chosen(); err == nil {
		t.Error("fan is no section")
	}
}

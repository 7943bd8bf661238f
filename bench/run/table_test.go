package main

import "testing"

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

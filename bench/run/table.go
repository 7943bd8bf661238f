package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// numbers are the results of one run, by name.
type numbers map[string]float64

// String lists them by name.
func (n numbers) String() string {
	var s []string
	for _, name := range slices.Sorted(maps.Keys(n)) {
		s = append(s, fmt.Sprintf("%s %.4g", name, n[name]))
	}
	return strings.Join(s, ", ")
}

// median is the median of each number over the runs that have it.
func median(runs []numbers) numbers {
	all := map[string][]float64{}
	for _, run := range runs {
		for name, v := range run {
			all[name] = append(all[name], v)
		}
	}
	m := numbers{}
	for name, values := range all {
		slices.Sort(values)
		m[name] = (values[(len(values)-1)/2] + values[len(values)/2]) / 2
	}
	return m
}

// table is a table in Markdown.
type table struct {
	head []string
	rows [][]string
}

func (t *table) add(cells ...string) {
	t.rows = append(t.rows, cells)
	fmt.Println("  " + strings.Join(cells, " · "))
}

func (t *table) String() string {
	var s strings.Builder
	line := func(cells []string) { fmt.Fprintf(&s, "| %s |\n", strings.Join(cells, " | ")) }
	line(t.head)
	line(slices.Repeat([]string{"---"}, len(t.head)))
	for _, row := range t.rows {
		line(row)
	}
	return s.String()
}

// human prints a number with three digits or so, thousands apart.
func human(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v < 1:
		return strconv.FormatFloat(v, 'g', 2, 64)
	case v < 100:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	digits := strconv.FormatFloat(v, 'f', 0, 64)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

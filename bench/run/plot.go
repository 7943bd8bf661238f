package main

import (
	"fmt"
	"math"
	"strings"
)

// line is a number at several sizes.
type line struct {
	name string
	x, y []float64
}

func (l *line) add(x int, y float64) {
	l.x = append(l.x, float64(x))
	l.y = append(l.y, y)
}

// fit is the straight line of least squares.
func (l *line) fit() (slope, base float64) {
	n := float64(len(l.x))
	if n == 0 {
		return 0, 0
	}
	var sx, sy, sxx, sxy float64
	for i := range l.x {
		sx += l.x[i]
		sy += l.y[i]
		sxx += l.x[i] * l.x[i]
		sxy += l.x[i] * l.y[i]
	}
	d := n*sxx - sx*sx
	if d == 0 {
		return 0, sy / n
	}
	slope = (n*sxy - sx*sy) / d
	return slope, (sy - slope*sx) / n
}

func (l *line) slope() float64 { s, _ := l.fit(); return s }

// Sizes of the drawing, in pixels.
const (
	panelWidth  = 300
	panelHeight = 220
	panelGap    = 40
	panelTop    = 40
	panelLeft   = 50
)

// draw makes an SVG of a panel for each line: the points, and the fitted line
// dashed. It has colours of its own, for light and dark pages.
func draw(lines []line) string {
	var s strings.Builder
	width := len(lines)*(panelWidth+panelGap) + panelLeft
	height := panelTop + panelHeight + 50
	fmt.Fprintf(&s, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", width, height)
	fmt.Fprintf(&s, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", width, height)
	for i := range lines {
		lines[i].panel(&s, panelLeft+i*(panelWidth+panelGap))
	}
	s.WriteString("</svg>\n")
	return s.String()
}

func (l *line) panel(s *strings.Builder, left int) {
	maxX, maxY := 1.0, 0.0
	for i := range l.x {
		maxX, maxY = max(maxX, l.x[i]), max(maxY, l.y[i])
	}
	maxY = ceiling(maxY)
	px := func(x float64) float64 { return float64(left) + x/maxX*(panelWidth-20) }
	py := func(y float64) float64 { return panelTop + panelHeight - y/maxY*panelHeight }
	fmt.Fprintf(s, `<text x="%d" y="%d" font-weight="bold">%s</text>`+"\n", left, panelTop-16, l.name)
	for k := range 5 {
		y := maxY * float64(k) / 4
		fmt.Fprintf(s, `<path d="M%d %.1fh%d" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%g</text>`+"\n",
			left, py(y), panelWidth-20, left-6, py(y)+4, y)
	}
	slope, base := l.fit()
	fmt.Fprintf(s, `<path d="M%.1f %.1fL%.1f %.1f" stroke="#888" stroke-dasharray="4 4"/>`+"\n", px(0), py(base), px(maxX), py(base+slope*maxX))
	for i := range l.x {
		fmt.Fprintf(s, `<circle cx="%.1f" cy="%.1f" r="4" fill="#1a6"/><text x="%.1f" y="%d" text-anchor="middle" font-size="10">%s</text>`+"\n",
			px(l.x[i]), py(l.y[i]), px(l.x[i]), panelTop+panelHeight+16, human(l.x[i]))
	}
	fmt.Fprintf(s, `<text x="%d" y="%d" fill="#555">slope %.3g per 1,000 sessions</text>`+"\n", left, panelTop+panelHeight+38, slope*1000)
}

// ceiling is the next number of the form 1, 2, 4 or 8 times a power of ten.
func ceiling(v float64) float64 {
	if v <= 0 {
		return 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 4, 8} {
		if v <= m*unit {
			return m * unit
		}
	}
	return 10 * unit
}

package main

import (
	"bytes"
	"fmt"
	"html"
	"slices"
	"strings"
)

// chart is one panel of the plot: bars, or strips of samples around a goal.
type chart struct {
	title  string
	unit   string
	bars   []bar
	strips []strip
	goal   float64
}

type bar struct {
	name  string
	value float64
}

type strip struct {
	name   string
	values []float64
}

func (r *report) chart(c chart) { r.charts = append(r.charts, c) }

// bounds returns the range that a chart of strips shows.
func (c chart) bounds() (low, high float64) {
	low, high = c.goal, c.goal
	for _, s := range c.strips {
		low, high = min(low, slices.Min(s.values)), max(high, slices.Max(s.values))
	}
	margin := max((high-low)*0.05, 0.005)
	return low - margin, high + margin
}

// drawText draws the charts in the terminal.
func (r *report) drawText() {
	const width = 56
	for _, c := range r.charts {
		_, _ = fmt.Fprintf(r.out, "\n%s\n", c.title)
		top := 0.0
		for _, b := range c.bars {
			top = max(top, b.value)
		}
		for _, b := range c.bars {
			_, _ = fmt.Fprintf(r.out, "  %-24s %-*s %.4g %s\n", b.name, width, strings.Repeat("█", int(b.value/top*width)), b.value, c.unit)
		}
		if len(c.strips) == 0 {
			continue
		}
		low, high := c.bounds()
		column := func(v float64) int { return int((v - low) / (high - low) * (width - 1)) }
		for _, s := range c.strips {
			_, _ = fmt.Fprintf(r.out, "  %-24s %s median %.3f\n", s.name, density(s.values, column, width), median(s.values))
		}
		_, _ = fmt.Fprintf(r.out, "  %-24s %s\n", "", strings.Repeat(" ", column(c.goal))+"^ target "+fmt.Sprint(c.goal))
	}
}

// density draws how many values fall into each column.
func density(values []float64, column func(float64) int, width int) string {
	counts := make([]int, width)
	for _, v := range values {
		counts[column(v)]++
	}
	const levels = " ▁▂▃▄▅▆▇█"
	most := slices.Max(counts)
	var line strings.Builder
	for _, n := range counts {
		level := 0
		if n > 0 {
			level = 1 + n*7/most
		}
		line.WriteRune([]rune(levels)[level])
	}
	return line.String()
}

// svg draws the charts below each other.
func (r *report) svg() []byte {
	const width, label, plot = 720, 190, 430
	var body bytes.Buffer
	y := 16
	text := func(x, y int, anchor, s string) {
		fmt.Fprintf(&body, `<text x="%d" y="%d" text-anchor="%s">%s</text>`+"\n", x, y, anchor, html.EscapeString(s))
	}
	for _, c := range r.charts {
		y += 22
		fmt.Fprintf(&body, `<text x="16" y="%d" font-weight="bold">%s</text>`+"\n", y, html.EscapeString(c.title))
		top := 0.0
		for _, b := range c.bars {
			top = max(top, b.value)
		}
		for _, b := range c.bars {
			y += 24
			text(label-8, y, "end", b.name)
			fmt.Fprintf(&body, `<rect x="%d" y="%d" width="%.1f" height="16" fill="%s"/>`+"\n", label, y-13, b.value/top*plot, colour(b.name))
			text(label+int(b.value/top*plot)+6, y, "start", strings.TrimSpace(fmt.Sprintf("%.4g %s", b.value, c.unit)))
		}
		y = c.svgStrips(&body, text, y, label, plot)
		y += 14
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="13">`+"\n", width, y+12)
	fmt.Fprintf(&out, `<rect width="100%%" height="100%%" fill="white"/>`+"\n")
	out.Write(body.Bytes())
	out.WriteString("</svg>\n")
	return out.Bytes()
}

// svgStrips draws one dot for each sample, the median as a bar across, and
// the goal as a line through all strips. It returns where the chart ends.
func (c chart) svgStrips(body *bytes.Buffer, text func(x, y int, anchor, s string), y, label, plot int) int {
	if len(c.strips) == 0 {
		return y
	}
	low, high := c.bounds()
	at := func(v float64) float64 { return float64(label) + (v-low)/(high-low)*float64(plot) }
	first := y + 6
	for _, s := range c.strips {
		y += 30
		text(label-8, y, "end", s.name)
		for i, v := range s.values {
			fmt.Fprintf(body, `<circle cx="%.1f" cy="%d" r="3" fill="%s" fill-opacity="0.45"/>`+"\n", at(v), y-9+i%5*3, colour(s.name))
		}
		m := median(s.values)
		fmt.Fprintf(body, `<rect x="%.1f" y="%d" width="2" height="22" fill="black"/>`+"\n", at(m)-1, y-15)
		text(label+plot+8, y, "start", fmt.Sprintf("%.3f", m))
	}
	fmt.Fprintf(body, `<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="#c00" stroke-dasharray="4 3"/>`+"\n", at(c.goal), at(c.goal), first, y+8)
	y += 20
	text(int(at(c.goal)), y, "middle", fmt.Sprintf("target %g", c.goal))
	return y
}

// colour tells the plugin from what it is compared with.
func colour(name string) string {
	if strings.HasPrefix(name, "plain") || strings.HasPrefix(name, "disk") {
		return "#9aa5b1"
	}
	return "#2f6fde"
}

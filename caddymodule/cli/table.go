package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/width"
)

// table is what people read. On a terminal it never wraps: columns that may be cut
// are, and if it is still too wide each row becomes a block of lines.
type table struct {
	heads []string
	rows  [][]string
	cut   []string // heads of columns that may be cut
	none  string   // what to say if there is no row
	// blocks has each row written as a block, also where there is room.
	blocks bool
}

// add adds a row. What is empty or left out is a dash.
func (t *table) add(cells ...string) {
	row := make([]string, len(t.heads))
	for i := range row {
		if row[i] = "-"; i < len(cells) && cells[i] != "" {
			row[i] = clean(cells[i])
		}
	}
	t.rows = append(t.rows, row)
}

// write writes the table for a terminal that has so many columns, or 0 if there is
// no terminal.
func (t *table) write(w io.Writer, columns int) error {
	var b strings.Builder
	widths := t.widths(columns)
	switch {
	case len(t.rows) == 0:
		if t.none != "" {
			b.WriteString(t.none + "\n")
		}
	case t.blocks, columns > 0 && lineWidth(widths) > columns:
		t.writeBlocks(&b)
	default:
		for _, row := range slices.Concat([][]string{t.heads}, t.rows) {
			var line strings.Builder
			for i, cell := range row {
				cell = cutTo(cell, widths[i])
				line.WriteString(cell + strings.Repeat(" ", widths[i]-widthOf(cell)+gap))
			}
			b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

const (
	gap      = 2
	narrower = 12 // no column is cut to less
)

// widths returns how wide the columns are, cut for a terminal.
func (t *table) widths(columns int) []int {
	widths := make([]int, len(t.heads))
	for _, row := range slices.Concat([][]string{t.heads}, t.rows) {
		for i, cell := range row {
			widths[i] = max(widths[i], widthOf(cell))
		}
	}
	for columns > 0 && lineWidth(widths) > columns {
		widest := -1
		for i, head := range t.heads {
			if slices.Contains(t.cut, head) && widths[i] > narrower && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
	}
	return widths
}

// writeBlocks writes each row as lines of its own.
func (t *table) writeBlocks(b *strings.Builder) {
	head := 0
	for _, h := range t.heads {
		head = max(head, widthOf(h))
	}
	for i, row := range t.rows {
		if i > 0 {
			b.WriteString("\n")
		}
		for j, cell := range row {
			b.WriteString(t.heads[j] + strings.Repeat(" ", head-widthOf(t.heads[j])+gap) + cell + "\n")
		}
	}
}

func lineWidth(widths []int) int {
	sum := gap * (len(widths) - 1)
	for _, w := range widths {
		sum += w
	}
	return sum
}

// clean takes from a text what would do something to a terminal: much of what is
// shown was written by clients and people.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

// widthOf returns how many columns of a terminal a text takes.
func widthOf(s string) (columns int) {
	for _, r := range s {
		columns += widthOfRune(r)
	}
	return columns
}

func widthOfRune(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me) {
		return 0
	}
	if kind := width.LookupRune(r).Kind(); kind == width.EastAsianWide || kind == width.EastAsianFullwidth {
		return 2
	}
	return 1
}

// cutTo returns what of a text there is room for.
func cutTo(s string, columns int) string {
	if widthOf(s) <= columns {
		return s
	}
	taken := 1
	for i, r := range s {
		if taken += widthOfRune(r); taken > columns {
			return s[:i] + "…"
		}
	}
	return s
}

// when says when something was or will be, by the clock and as seen from now.
func when(t, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	at := t.Local().Format("2006-01-02 15:04")
	ago := now.Sub(t).Round(time.Second)
	if ago >= 0 {
		return at + " (" + roughly(ago) + " ago)"
	}
	return at + " (in " + roughly(-ago) + ")"
}

// roughly says how long something is.
func roughly(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < time.Minute:
		return plural(int(d/time.Second), "second")
	case d < time.Hour:
		return plural(int(d/time.Minute), "minute")
	case d < 2*day:
		return plural(int(d/time.Hour), "hour")
	}
	return plural(int(d/day), "day")
}

func plural(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprint(n, " ", noun)
}

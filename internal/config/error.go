package config

import (
	"fmt"
	"strings"
)

// Error is an error in the configuration: the field that is to be corrected, by
// its path in the JSON, such as servers[1].auth.client_id, and what to do. The
// Caddyfile adapter makes a line of the path.
type Error struct {
	Path string
	Text string
}

func (e *Error) Error() string {
	if e.Path == "" {
		return e.Text
	}
	return e.Path + ": " + e.Text
}

// Errorf returns an *Error.
func Errorf(path, format string, args ...any) error {
	return &Error{path, fmt.Sprintf(format, args...)}
}

// Index returns the path of an entry of a list.
func Index(list string, i int) string { return fmt.Sprintf("%s[%d]", list, i) }

// Choice says which word was meant, or else which there are.
func Choice(word string, known []string) string {
	if near := nearest(word, known); near != "" {
		return "; did you mean " + near + "?"
	}
	return "; use one of: " + strings.Join(known, ", ")
}

func nearest(word string, known []string) string {
	best, least := "", len(word)/3+1
	for _, k := range known {
		if d := distance(plainWord(word), plainWord(k)); d <= least && (best == "" || d < least) {
			best, least = k, d
		}
	}
	return best
}

// plainWord makes words equal that differ in ways people do not look at.
func plainWord(word string) string {
	return strings.ReplaceAll(strings.ToLower(word), "-", "_")
}

// distance returns how many bytes must be inserted, removed or replaced to make
// b of a (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

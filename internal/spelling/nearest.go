package spelling

import "strings"

// Nearest returns which of the known words was probably meant, or "".
func Nearest(word string, known []string) string {
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

package guess

import (
	"encoding/base64"
	"encoding/hex"
	"math"
	"slices"
	"strings"
)

// minSecretBits is how hard to guess a secret must look. Sixteen random digits
// have 53 bits; what people make up has less once its patterns are seen.
const minSecretBits = 38

// What a run or a repetition adds, and a common word, however long.
const (
	patternBits = 6
	wordBits    = 5
)

// keyboardRuns are what fingers and counting make: read both ways.
var keyboardRuns = bothWays(
	"01234567890123456789", "abcdefghijklmnopqrstuvwxyz", "qwertyuiopasdfghjklzxcvbnm", "qwertzuiop", "azertyuiop",
	"1qaz2wsx3edc4rfv5tgb6yhn7ujm", "!@#$%^&*()",
)

// commonWords are in the secrets that people make up first.
var commonWords = []string{
	"password", "passwort", "passwd", "passw0rd", "p@ssw0rd", "passphrase", "secret", "changeme", "change", "replace", "example", "sample",
	"default", "admin", "administrator", "root", "user", "guest", "login", "letmein", "welcome", "monkey", "dragon", "iloveyou", "sunshine",
	"princess", "football", "baseball", "master", "shadow", "hello", "world", "foobar", "test", "demo", "token", "virtual", "client", "bearer",
	"access", "apikey", "api", "key", "caddy", "oauth", "mcp", "server", "local", "insecure", "please", "your", "this", "that", "with", "the",
	"very", "strong", "secure", "long", "random", "some", "text", "value", "here", "must", "have", "least", "sixteen", "characters",
	"dummy", "gateway", "production", "staging", "develop", "company", "summer", "winter", "spring", "autumn", "hunter", "trustno", "lorem",
	"ipsum", "dolor", "quick", "brown", "fox", "foo", "bar", "baz", "dead", "beef", "cafe", "babe", "feed", "face",
	"31415926", "53589793", "27182818",
}

// asLetters undoes what people write for letters in words.
var asLetters = strings.NewReplacer("0", "o", "1", "i", "3", "e", "4", "a", "5", "s", "7", "t", "@", "a", "$", "s")

// Easy reports whether a secret looks made up. That a secret is random
// cannot be seen; that it is not often can.
func Easy(secret string) bool { return guessBits(secret) < minSecretBits }

// guessBits estimates how many bits somebody needs to guess who tries runs,
// repetitions and common words first, and what people do to disguise them.
func guessBits(secret string) float64 {
	text, perChar := strings.ToLower(secret), charBits(secret)
	bits := min(patternedBits(text, perChar), patternedBits(asLetters.Replace(text), perChar))
	even, odd := alternating(text)
	if first, second := patternedBits(even, perChar), patternedBits(odd, perChar); max(first, second) <= 2*patternBits {
		bits = min(bits, first+second)
	}
	if number := withoutSeparators(text); number != "" {
		bits = min(bits, guessBits(number))
	}
	// Random bytes are sometimes text, but none that is half pattern.
	if plain := decoded(secret); plain != "" {
		if b := guessBits(plain); b < charBits(plain)*float64(len(plain))/2 {
			bits = min(bits, b)
		}
	}
	return bits
}

// patternedBits estimates the bits of a text in which a character that is part of
// nothing else has perChar.
func patternedBits(text string, perChar float64) (bits float64) {
	for i := 0; i < len(text); {
		n, cost := wordLength(text[i:]), float64(wordBits)
		if pattern := max(runLength(text[i:]), repeatedLength(text, i)); pattern > n {
			n, cost = pattern, patternBits
		}
		if n < 3 {
			n, cost = 1, perChar
		}
		bits += min(cost, perChar*float64(n))
		i += n
	}
	return bits
}

// alternating takes apart what was woven from two texts, such as 000102030405
// or 1q2w3e4r.
func alternating(text string) (even, odd string) {
	var halves [2][]byte
	for i := range len(text) {
		halves[i%2] = append(halves[i%2], text[i])
	}
	return string(halves[0]), string(halves[1])
}

var separators = strings.NewReplacer("-", "", "_", "", " ", "", ".", "", ":", "", "/", "")

// withoutSeparators returns what is left of a number in groups, such as a UUID
// or a date; "" for any other text.
func withoutSeparators(text string) string {
	rest := separators.Replace(text)
	if rest == text || strings.Trim(rest, "0123456789abcdef") != "" {
		return ""
	}
	return rest
}

// decoded returns the text that the secret encodes; "" if it encodes none.
func decoded(secret string) string {
	digits, err := hex.DecodeString(secret)
	if err != nil {
		digits, err = base64.RawStdEncoding.DecodeString(strings.NewReplacer("-", "+", "_", "/", "=", "").Replace(secret))
	}
	if err != nil || strings.ContainsFunc(string(digits), func(r rune) bool { return r < ' ' || r > '~' }) {
		return ""
	}
	return string(digits)
}

// charBits returns the bits of one random character of the kinds that occur.
func charBits(secret string) float64 {
	kinds := 0
	for _, k := range []struct {
		chars string
		size  int
	}{{"0123456789", 10}, {"abcdef", 6}, {"ghijklmnopqrstuvwxyz", 20}, {"ABCDEFGHIJKLMNOPQRSTUVWXYZ", 26}} {
		if strings.ContainsAny(secret, k.chars) {
			kinds += k.size
		}
	}
	if strings.ContainsFunc(secret, func(r rune) bool { return !isAlphanumeric(r) }) {
		kinds += 16
	}
	return math.Log2(float64(max(kinds, 2)))
}

func isAlphanumeric(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}

// runLength returns how long the text begins with one character, in equal steps
// such as acegik, or along a row of the keyboard in either direction.
func runLength(text string) int {
	longest := len(text) - len(strings.TrimLeft(text, text[:1]))
	if n := stepsLength(text); n > 3 { // three are often chance
		longest = max(longest, n)
	}
	for _, row := range keyboardRuns {
		longest = max(longest, alongRow(text, row))
	}
	return longest
}

func stepsLength(text string) int {
	n := min(len(text), 2)
	for n >= 2 && n < len(text) && text[n]-text[n-1] == text[1]-text[0] {
		n++
	}
	return n
}

func alongRow(text, row string) int {
	longest := 0
	for from := range len(row) {
		n := 0
		for n < len(text) && from+n < len(row) && text[n] == row[from+n] {
			n++
		}
		longest = max(longest, n)
	}
	return longest
}

func bothWays(rows ...string) []string {
	for _, row := range slices.Clone(rows) {
		back := []byte(row)
		slices.Reverse(back)
		rows = append(rows, string(back))
	}
	return rows
}

// repeatedLength returns how much of what follows position i began before it,
// such as the second half of abcabc.
func repeatedLength(text string, i int) int {
	longest := 0
	for from := range i {
		n := 0
		for i+n < len(text) && text[from+n] == text[i+n] {
			n++
		}
		longest = max(longest, n)
	}
	return longest
}

func wordLength(text string) int {
	longest := 0
	for _, word := range commonWords {
		if strings.HasPrefix(text, word) {
			longest = max(longest, len(word))
		}
	}
	return longest
}

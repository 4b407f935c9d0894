package caddymodule

import (
	"math"
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
var keyboardRuns = []string{
	"01234567890123456789", "abcdefghijklmnopqrstuvwxyz", "qwertyuiopasdfghjklzxcvbnm", "qwertzuiop", "azertyuiop",
	"1qaz2wsx3edc4rfv5tgb6yhn7ujm", "!@#$%^&*()",
}

// commonWords are in the secrets that people make up first.
var commonWords = []string{
	"password", "passwort", "passwd", "passw0rd", "p@ssw0rd", "passphrase", "secret", "changeme", "change", "replace", "example", "sample",
	"default", "admin", "administrator", "root", "user", "guest", "login", "letmein", "welcome", "monkey", "dragon", "iloveyou", "sunshine",
	"princess", "football", "baseball", "master", "shadow", "hello", "world", "foobar", "test", "demo", "token", "virtual", "client", "bearer",
	"access", "apikey", "api", "key", "caddy", "oauth", "mcp", "server", "local", "insecure", "please", "your", "this", "that", "with", "the",
	"very", "strong", "secure", "long", "random", "some", "text", "value", "here", "must", "have", "least", "sixteen", "characters",
}

// easyToGuess reports whether a secret looks made up. That a secret is random
// cannot be seen; that it is not often can.
func easyToGuess(secret string) bool { return guessBits(secret) < minSecretBits }

// guessBits estimates how many bits somebody needs to guess who tries runs,
// repetitions and common words first.
func guessBits(secret string) float64 {
	text, perChar, bits := strings.ToLower(secret), charBits(secret), 0.0
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

// runLength returns how long the text begins with one character, or along a
// row of the keyboard in either direction.
func runLength(text string) int {
	longest := len(text) - len(strings.TrimLeft(text, text[:1]))
	for _, row := range keyboardRuns {
		longest = max(longest, alongRow(text, row), alongRow(text, reversed(row)))
	}
	return longest
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

func reversed(s string) string {
	b := []byte(s)
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
	return string(b)
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

package access

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// slip is what is wrong with an expression: where, and what to write.
type slip struct {
	at   int // the byte
	text string
}

// place says where in an expression a slip is.
func (s slip) place(expression string) string {
	before := expression[:min(s.at, len(expression))]
	begins := strings.LastIndexByte(before, '\n') + 1
	column := utf8.RuneCountInString(before[begins:]) + 1
	if line := strings.Count(before, "\n") + 1; line > 1 {
		return fmt.Sprintf("line %d, column %d of the expression", line, column)
	}
	return fmt.Sprintf("column %d of the expression", column)
}

// operatorSlips are signs of other languages, by what CEL has for them; those of CEL
// itself have nothing. The longer ones come first.
var operatorSlips = [][2]string{
	{"===", "=="}, {"!==", "!="}, {"=~", `x.matches("…")`}, {"<>", "!="}, {"=>", ">="}, {"=<", "<="},
	{"==", ""}, {"!=", ""}, {"<=", ""}, {">=", ""}, {"&&", ""}, {"||", ""},
	{"=", "=="}, {"&", "&&"}, {"|", "||"}, {"“", `"`}, {"”", `"`}, {"„", `"`}, {"‘", "'"}, {"’", "'"},
}

// wordSlips are words of other languages, between values or before one.
var wordSlips = map[string]string{
	"and": "&&", "or": "||", "not": "!", "is": "==", "like": `x.contains("…")`,
	"contains": `x.contains("…") or "…" in x`, "includes": `x.contains("…") or "…" in x`,
	"matches": `x.matches("…")`, "startswith": `x.startsWith("…")`, "endswith": `x.endsWith("…")`,
}

var (
	wordPattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*`)
	pathPattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?`)
	whomPattern = regexp.MustCompile(`^[a-z]+:[^\s()]+`)
)

// slipIn returns the first of what is of other languages in an expression, or belongs
// elsewhere; nil if there is none. Text in quotes is skipped.
func slipIn(text string) *slip {
	before := byte(0)
	for i := 0; i < len(text); {
		rest := text[i:]
		word := wordPattern.FindString(rest)
		switch end := quoted(rest); {
		case end > 0:
			i, before = i+end, '"'
		case strings.HasPrefix(rest, "//"):
			i += len(rest[:strings.IndexByte(rest+"\n", '\n')])
		case word != "":
			if s := wordSlip(rest, word); s != "" && before != '.' {
				return &slip{i, s}
			}
			i, before = i+len(word), 'a'
		default:
			sign := slices.IndexFunc(operatorSlips, func(o [2]string) bool { return strings.HasPrefix(rest, o[0]) })
			if sign < 0 {
				if rest[0] != ' ' && rest[0] != '\t' && rest[0] != '\n' {
					before = rest[0]
				}
				i++
				continue
			}
			if o := operatorSlips[sign]; o[1] != "" {
				return &slip{i, instead(o[0], o[1])}
			}
			i, before = i+len(operatorSlips[sign][0]), '='
		}
	}
	return nil
}

func instead(of, write string) string { return "write " + write + " instead of " + of }

// wordSlip says what is wrong with a word, by what comes behind it.
func wordSlip(rest, word string) string {
	behind := strings.TrimSpace(rest[len(word):])
	lower := strings.ToLower(word)
	switch {
	case IsWhom(whomPattern.FindString(rest)):
		return whomPattern.FindString(rest) + " says whom the rule is for; write it before when"
	case lower == "not" && strings.HasPrefix(behind, "in "):
		return instead("x not in y", "!(x in y)")
	case strings.HasPrefix(behind, "(") && lower != "and" && lower != "or" && lower != "not":
		return "" // a function
	case wordSlips[lower] != "":
		return instead(word, wordSlips[lower])
	}
	return ""
}

// quoted returns how long a text in quotes is that something begins with; 0 if it does
// not begin with one that ends.
func quoted(s string) int {
	begins := 0
	for begins < min(2, len(s)) && strings.IndexByte("rRbB", s[begins]) >= 0 {
		begins++
	}
	raw := strings.ContainsAny(s[:begins], "rR")
	if begins == len(s) || s[begins] != '"' && s[begins] != '\'' {
		return 0
	}
	mark := s[begins : begins+1]
	if three := strings.Repeat(mark, 3); strings.HasPrefix(s[begins:], three) {
		mark = three
	}
	for i := begins + len(mark); i < len(s); i++ {
		switch {
		case s[i] == '\\' && !raw:
			i++
		case strings.HasPrefix(s[i:], mark):
			return i + len(mark)
		}
	}
	return 0
}

package consent

import (
	"net/url"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestCleanName_G04(t *testing.T) {
	for name, tt := range map[string]struct{ in, want string }{
		"plain":               {"Cursor", "Cursor"},
		"other scripts":       {"クロード 2", "クロード 2"},
		"accents":             {"Café", "Café"},
		"combining accents":   {"Cafe\u0301", "Cafe\u0301"},
		"stacked accents":     {"a" + strings.Repeat("\u0301", 50) + "b", "a\u0301\u0301\u0301b"},
		"accent on nothing":   {"\u0301a", "a"},
		"emoji":               {"Bot 🤖", "Bot 🤖"},
		"only emoji":          {"🤖", ""},
		"line breaks":         {"Claude\r\n\tverified", "Claude verified"},
		"many spaces":         {"  a \u00a0\u2003\u2800 b  ", "a b"},
		"right-to-left turn":  {"Claude\u202egnp.exe", "Claudegnp.exe"},
		"isolates":            {"\u2066a\u2069", "a"},
		"zero width":          {"Cla\u200bu\u200dd\ufeffe", "Claude"},
		"filler letters":      {"\u3164\u115f\uffa0", ""},
		"tags":                {"a\U000e0041\U000e0042", "a"},
		"variation selectors": {"a\ufe0f\U000e0100", "a"},
		"private use":         {"a\ue000", "a"},
		"not UTF-8":           {"Cla\xffude", "Claude"},
		"NUL":                 {"a\x00b", "ab"},
		"empty":               {"", ""},
		"only signs":          {"…—<>", ""},
		"200 characters":      {strings.Repeat("a", 200), strings.Repeat("a", maxName) + "…"},
		"exactly the limit":   {strings.Repeat("é", maxName), strings.Repeat("é", maxName)},
	} {
		t.Run(name, func(t *testing.T) {
			if got := cleanName(tt.in); got != tt.want {
				t.Errorf("cleanName(%q) = %q, want %q", tt.in, got, tt.want)
			}
		})
	}
}

func TestQuoteCannotBeLeft_G04(t *testing.T) {
	got := quote(cleanName("Cursor” Registered by the operator “x\u2069"))
	if strings.Count(got, "“")+strings.Count(got, "”") != 2 || strings.Count(got, "\u2069") != 1 {
		t.Errorf("quote = %q", got)
	}
}

// checkName states what every cleaned name is, whatever went in.
func checkName(t interface{ Errorf(string, ...any) }, in string) {
	got := cleanName(in)
	if !utf8.ValidString(got) {
		t.Errorf("cleanName(%q) = %q is not UTF-8", in, got)
	}
	if utf8.RuneCountInString(got) > maxName+1 {
		t.Errorf("cleanName(%q) has %d characters", in, utf8.RuneCountInString(got))
	}
	if got != strings.TrimSpace(got) || strings.Contains(got, "  ") {
		t.Errorf("cleanName(%q) = %q has loose spaces", in, got)
	}
	for _, r := range got {
		if r != ' ' && (unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Bidi_Control, r)) {
			t.Errorf("cleanName(%q) = %q has %U", in, got, r)
		}
	}
	if again := cleanName(got); again != got && !strings.HasSuffix(got, "…") {
		t.Errorf("cleanName(%q) = %q, then %q", in, got, again)
	}
}

func FuzzCleanName(f *testing.F) {
	for _, s := range []string{"Cursor", "a\u202eb", "\xff\u0301", "e\u0301\u0301\u0301", " \u2800 ", strings.Repeat("x", 99), strings.Repeat("x", 58) + " y zz"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) { checkName(t, in) })
}

func TestCleanNameProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkName(t, rapid.String().Draw(t, "name")) })
}

func FuzzHostOf(f *testing.F) {
	for _, s := range []string{
		"https://example.com/cb", "https://cl\u0430ude.ai:443", "http://[::1%25eth0]:80", "https://%e2%80%ae.example",
		"https://a\u3002b", "https://\u00ad.example", "https://xn--a", "cursor://x", "https://999.1:0",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		u, err := url.Parse(in)
		if err != nil {
			return
		}
		for _, r := range hostOf(u) {
			if r <= ' ' || r >= 0x7f {
				t.Errorf("hostOf(%q) = %q has %U", in, hostOf(u), r)
			}
		}
	})
}

func TestHostOf(t *testing.T) {
	for in, want := range map[string]string{
		"https://Example.COM/cb":         "example.com",
		"https://example.com:443":        "example.com",
		"https://example.com:80":         "example.com:80",
		"http://example.com:80":          "example.com",
		"http://[::1]/":                  "[::1]",
		"http://[::1]:8080/":             "[::1]:8080",
		"http://127.0.0.1:1/":            "127.0.0.1:1",
		"https://b\u00fccher.example/":   "xn--bcher-kva.example",
		"https://xn--bcher-kva.example/": "xn--bcher-kva.example",
		"https://a%20b.example/":         "",
	} {
		u, err := url.Parse(in)
		if err != nil {
			if want != "" {
				t.Errorf("%q: %v", in, err)
			}
			continue
		}
		if got := hostOf(u); got != want {
			t.Errorf("hostOf(%q) = %q, want %q", in, got, want)
		}
	}
}

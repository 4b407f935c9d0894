package identity

import (
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestUserID(t *testing.T) {
	tests := map[string]struct {
		in, name string
		ok       bool
	}{
		"plain":                {"alice", "alice", true},
		"e-mail":               {"alice@example.com", "alice@example.com", true},
		"inner space":          {"Alice B", "Alice B", true},
		"other scripts":        {"Алиса 愛麗絲", "Алиса 愛麗絲", true},
		"space around dropped": {"  alice\t\n", "alice", true},
		"255 characters":       {strings.Repeat("é", 255), strings.Repeat("é", 255), true},
		"256 characters":       {strings.Repeat("é", 256), "", false},
		"empty":                {"", "", false},
		"blank":                {" \t ", "", false},
		"line break inside":    {"alice\r\nX-Role: admin", "", false},
		"NUL":                  {"alice\x00", "", false},
		"DEL":                  {"al\x7fice", "", false},
		"C1 control":           {"al\u0085ice", "", false},
		"not UTF-8":            {"al\xffice", "", false},
		"zero width space":     {"al\u200bice", "", false},
		"right-to-left turn":   {"al\u202eice", "", false},
		"line separator":       {"al\u2028ice", "", false},
		"no-break space":       {"al\u00a0ice", "", false},
		"hangul filler":        {"al\u3164ice", "", false},
		"variation selector":   {"al\ufe0fice", "", false},
		"byte order mark":      {"al\ufeffice", "", false},
		"tag character":        {"al\U000e0041ice", "", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			id, err := fromUserID(tt.in)
			if (err == nil) != tt.ok || err != nil && !errors.Is(err, errName) {
				t.Fatalf("fromUserID(%q) = %v, want ok %v", tt.in, err, tt.ok)
			}
			if id.Name != tt.name {
				t.Errorf("name = %q, want %q", id.Name, tt.name)
			}
			if tt.ok && (id.Kind != "user_id" || id.Subject != "user_id:"+tt.name) {
				t.Errorf("identity = %+v", id)
			}
		})
	}
}

func FuzzUserID(f *testing.F) {
	for _, s := range []string{"alice", "", "a\u202eb", "\xff", "virtual_key:alice"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		id, err := fromUserID(in)
		if err != nil {
			return
		}
		if !utf8.ValidString(id.Name) || strings.ContainsFunc(id.Name, unicode.IsControl) {
			t.Errorf("accepted %q", id.Name)
		}
		if n := utf8.RuneCountInString(id.Name); n == 0 || n > MaxName {
			t.Errorf("accepted %d characters", n)
		}
		again, err := fromUserID(id.Name)
		if err != nil || again != id {
			t.Errorf("%q is not stable: %+v, %v", id.Name, again, err)
		}
	})
}

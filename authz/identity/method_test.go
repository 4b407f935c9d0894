package identity

import (
	"context"
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"pgregory.net/rapid"
)

func TestFromUserID(t *testing.T) {
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
			id, err := FromUserID(tt.in)
			if (err == nil) != tt.ok || err != nil && !errors.Is(err, ErrUserID) {
				t.Fatalf("FromUserID(%q) = %v, want ok %v", tt.in, err, tt.ok)
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

func FuzzFromUserID(f *testing.F) {
	for _, s := range []string{"alice", "", "a\u202eb", "\xff", "virtual_key:alice"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		id, err := FromUserID(in)
		if err != nil {
			return
		}
		if !utf8.ValidString(id.Name) || strings.ContainsFunc(id.Name, unicode.IsControl) {
			t.Errorf("accepted %q", id.Name)
		}
		if n := utf8.RuneCountInString(id.Name); n == 0 || n > MaxUserID {
			t.Errorf("accepted %d characters", n)
		}
		again, err := FromUserID(id.Name)
		if err != nil || again != id {
			t.Errorf("%q is not stable: %+v, %v", id.Name, again, err)
		}
	})
}

// No kind can yield the subject of another, whatever the name.
func TestSubjectsOfKindsAreDisjoint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`(virtual_key:|caddy:|user_id:|anonymous:)?[a-z:]{1,20}`).Draw(t, "name")
		declared, err := FromUserID(name)
		if err != nil {
			t.Fatal(err)
		}
		key := Key{Name: name}
		user, ok := FromContext(WithUser(context.Background(), name))
		if !ok {
			t.Fatal("no user")
		}
		seen := map[string]bool{}
		for _, id := range []storage.Identity{declared, key.Identity(), user, NewAnonymous()} {
			if !strings.HasPrefix(id.Subject, id.Kind+":") {
				t.Fatalf("subject %q is not of kind %q", id.Subject, id.Kind)
			}
			if seen[id.Subject] {
				t.Fatalf("two kinds share the subject %q", id.Subject)
			}
			seen[id.Subject] = true
		}
	})
}

func TestNewAnonymousIsNobodyElse(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := NewAnonymous()
		if id.Kind != "anonymous" || id.Name != "" || len(id.Subject) < len("anonymous:")+26 {
			t.Fatalf("identity = %+v", id)
		}
		if seen[id.Subject] {
			t.Fatal("the same subject twice")
		}
		seen[id.Subject] = true
	}
}

func TestFromContext(t *testing.T) {
	if _, ok := FromContext(context.Background()); ok {
		t.Error("an identity without a user")
	}
	if _, ok := FromContext(WithUser(context.Background(), "")); ok {
		t.Error("an identity for an empty user")
	}
	id, ok := FromContext(WithUser(context.Background(), "alice"))
	if !ok || id.Subject != "caddy:alice" || id.Name != "alice" || id.Kind != "caddy" {
		t.Errorf("identity = %+v, %v", id, ok)
	}
}

func TestVirtualKeys(t *testing.T) {
	keys := NewVirtualKeys(
		Key{Name: "team", Hash: storage.HashOf("secret-1")},
		Key{Name: "ci", Hash: storage.HashOf("secret-2"), Servers: []string{"notion"}},
	)
	if k := keys.ByKey("secret-1"); k == nil || k.Name != "team" || !k.Allows("anything") {
		t.Errorf("team key = %+v", k)
	}
	k := keys.ByKey("secret-2")
	if k == nil || k.Name != "ci" || !k.Allows("notion") || k.Allows("github") {
		t.Errorf("ci key = %+v", k)
	}
	if id := k.Identity(); !keys.IsValid(id) {
		t.Errorf("%+v is not valid", id)
	}
	replaced := Key{Name: "ci", Hash: storage.HashOf("secret-3")}
	if id := replaced.Identity(); keys.IsValid(id) || id.Subject != k.Identity().Subject {
		t.Errorf("%+v is valid", id)
	}
	if got := keys.BySubject("virtual_key:ci"); got != k {
		t.Errorf("by subject = %+v", got)
	}
	for _, wrong := range []string{"", "secret", "secret-1 ", "SECRET-1", "team"} {
		if k := keys.ByKey(wrong); k != nil {
			t.Errorf("ByKey(%q) = %+v", wrong, k)
		}
	}
	for _, wrong := range []string{"ci", "user_id:ci", "virtual_key:"} {
		if k := keys.BySubject(wrong); k != nil {
			t.Errorf("BySubject(%q) = %+v", wrong, k)
		}
	}
	var none *VirtualKeys
	if none.IsValid(k.Identity()) || none.ByKey("secret-1") != nil || none.BySubject("virtual_key:ci") != nil {
		t.Error("a nil set has a key")
	}
}

func TestIsAnonymous(t *testing.T) {
	for name, want := range map[string]bool{
		NewAnonymous().Subject: true, "user_id:anonymous": false, "user_id:anonymous:x": false, "anonymous": false, "": false,
	} {
		if IsAnonymous(name) != want {
			t.Errorf("%q: %t", name, !want)
		}
	}
}

package mcp

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var (
	keyA = [32]byte{1}
	keyB = [32]byte{2}
)

func TestSessionBinding_P10(t *testing.T) {
	s := NewSessions(keyA)
	wrapped := s.Wrap("grant1", "notion", "abc.def")
	for _, tc := range []struct {
		name, grant, server, wrapped string
		want                         string
	}{
		{"own", "grant1", "notion", wrapped, "abc.def"},
		{"another grant", "grant2", "notion", wrapped, ""},
		{"another server", "grant1", "github", wrapped, ""},
		{"parts shifted", "grant1n", "otion", wrapped, ""},
		{"bare upstream id", "grant1", "notion", "abc.def", ""},
		{"tag of another id", "grant1", "notion", "x" + wrapped, ""},
		{"tag cut", "grant1", "notion", wrapped[:len(wrapped)-1], ""},
		{"tag extended", "grant1", "notion", wrapped + "A", ""},
		{"tag alone", "grant1", "notion", wrapped[strings.LastIndexByte(wrapped, '.'):], ""},
		{"empty", "grant1", "notion", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, ok := s.Unwrap(tc.grant, tc.server, tc.wrapped)
			if got.ID != tc.want || ok != (tc.want != "") {
				t.Errorf("Unwrap = %+v, %v; want %q", got, ok, tc.want)
			}
		})
	}
	t.Run("no session", func(t *testing.T) {
		if got := s.Wrap("grant1", "notion", ""); got != "" {
			t.Errorf("Wrap of no id = %q", got)
		}
	})
}

// P-11: a session knows the link to the upstream that it was opened with, and
// what its client declared. Nobody can change either.
func TestSessionOfALink_P11(t *testing.T) {
	s := NewSessions(keyA)
	for _, url := range []bool{false, true} {
		wrapped := s.WrapLinked("grant1", "notion", "abc", "link1", url)
		got, ok := s.Unwrap("grant1", "notion", wrapped)
		if !ok || got.ID != "abc" || got.URLElicitation != url {
			t.Fatalf("%+v %v", got, ok)
		}
		if !got.OpenedWith("link1") || got.OpenedWith("link2") || got.OpenedWith("") {
			t.Error("the link is not told apart")
		}
		flag := len("abc.")
		other := map[byte]string{noteURL: "n", noteNoURL: "u"}[wrapped[flag]]
		if _, ok := s.Unwrap("grant1", "notion", wrapped[:flag]+other+wrapped[flag+1:]); ok {
			t.Error("a client can change what it declared")
		}
		if _, ok := s.Unwrap("grant2", "notion", wrapped); ok {
			t.Error("another grant's session")
		}
		// The note cannot move into the id, nor the other way.
		if _, ok := s.Unwrap("grant1", "notion", wrapped[:flag]+wrapped[flag+noteLen:]); ok {
			t.Error("the note can be left out")
		}
	}
	plain, _ := s.Unwrap("grant1", "notion", s.Wrap("grant1", "notion", "abc"))
	if plain.URLElicitation || !plain.OpenedWith("") || plain.OpenedWith("link1") {
		t.Errorf("%+v", plain)
	}
}

func TestSessionKeyRotation_P10(t *testing.T) {
	old, rotated, other := NewSessions(keyA), NewSessions(keyB, keyA), NewSessions(keyB)
	wrapped := old.Wrap("g", "s", "id")
	if _, ok := rotated.Unwrap("g", "s", wrapped); !ok {
		t.Error("a rotated key no longer verifies")
	}
	if rotated.Wrap("g", "s", "id") != other.Wrap("g", "s", "id") {
		t.Error("the first key does not bind")
	}
	if _, ok := other.Unwrap("g", "s", wrapped); ok {
		t.Error("a removed key still verifies")
	}
}

func TestSessionBindingProperty_P10(t *testing.T) {
	s := NewSessions(keyA, keyB)
	part := rapid.StringMatching(`[!-~]{1,40}`)
	rapid.Check(t, func(t *rapid.T) {
		grant, server, id := part.Draw(t, "grant"), part.Draw(t, "server"), part.Draw(t, "id")
		wrapped := s.Wrap(grant, server, id)
		if got, ok := s.Unwrap(grant, server, wrapped); !ok || got.ID != id {
			t.Fatalf("own id refused: %q", wrapped)
		}
		for i := range len(wrapped) {
			if wrapped[i] < 0x21 || wrapped[i] > 0x7e {
				t.Fatalf("byte %#x in a header value", wrapped[i])
			}
		}
		g2, s2 := part.Draw(t, "grant2"), part.Draw(t, "server2")
		if g2 == grant && s2 == server {
			return
		}
		if _, ok := s.Unwrap(g2, s2, wrapped); ok {
			t.Fatal("another caller's id accepted")
		}
	})
}

func FuzzSessionUnwrap(f *testing.F) {
	s := NewSessions(keyA)
	f.Add("abc")
	f.Add(s.Wrap("g", "s", "abc"))
	f.Add(s.Wrap("g", "s", "a.b.c"))
	f.Add("." + strings.Repeat("A", tagLen))
	f.Add("abc." + strings.Repeat("u", noteLen+tagLen))
	f.Fuzz(func(t *testing.T, wrapped string) {
		session, ok := s.Unwrap("g", "s", wrapped)
		if ok && s.Wrap("g", "s", session.ID) != wrapped {
			t.Fatalf("accepted %q, which was never handed out", wrapped)
		}
		if _, ok := s.Unwrap("other", "s", wrapped); ok {
			t.Fatalf("accepted %q for another grant", wrapped)
		}
	})
}

func BenchmarkUnwrap(b *testing.B) {
	s := NewSessions(keyA)
	wrapped := s.Wrap("grant", "server", "0123456789abcdef")
	b.ReportAllocs()
	for b.Loop() {
		s.Unwrap("grant", "server", wrapped)
	}
}

package identity

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// No kind can yield the subject of another, whatever the name.
func TestSubjectsOfKindsAreDisjoint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`(virtual_key:|caddy:|user_id:|anonymous:)?[a-z:]{1,20}`).Draw(t, "name")
		declared, err := fromUserID(name)
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

// A method says all that the pages need to know of it, and shares nothing by
// which it is found with another.
func TestBuiltinMethodsAreComplete(t *testing.T) {
	seen := map[string]Kind{}
	for _, hidden := range []string{"identity", "flow_id", "ticket", "focus", "csrf_token"} {
		seen["id"+hidden] = "the pages"
	}
	unique := func(m Method, what, value string) {
		t.Helper()
		if other, taken := seen[what+value]; taken || value == "" {
			t.Errorf("%s: %s %q is empty, or that of %s", m.Kind, what, value, other)
		}
		seen[what+value] = m.Kind
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for _, m := range Builtin(Options{}) {
		unique(m, "kind", string(m.Kind))
		unique(m, "form", m.Form)
		unique(m, "id", m.Form+"-hint")
		for code, text := range m.Messages {
			if unique(m, "code", code); text == "" {
				t.Errorf("%s: no message for %s", m.Kind, code)
			}
		}
		if elsewhere := m.Start != nil && m.Finish != nil; (m.Identify != nil) == elsewhere {
			t.Errorf("%s: needs either Identify, or Start and Finish", m.Kind)
		}
		for _, inFlow := range []bool{true, false} {
			p := m.Prompt(r, inFlow)
			if p.Title == "" || p.Hint == "" || len(p.Inputs) > 0 && p.Button == "" {
				t.Errorf("%s: prompt %+v", m.Kind, p)
			}
			if !inFlow {
				continue
			}
			for _, in := range p.Inputs {
				if unique(m, "id", in.Name); in.Label == "" || in.Type == "" || in.MaxLength == 0 {
					t.Errorf("%s: input %+v", m.Kind, in)
				}
			}
		}
		if m.Identify == nil {
			continue
		}
		var denied *Denied
		if _, err := m.Identify(r); err != nil && (!errors.As(err, &denied) || m.Messages[denied.Code] == "") {
			t.Errorf("%s: an empty form gives %v, which has no message", m.Kind, err)
		}
	}
}

func TestMethods(t *testing.T) {
	key := Key{Name: "ci", Hash: storage.HashOf("secret"), Servers: []string{"notion"}}
	ms := Methods{ByVirtualKey(NewVirtualKeys(key)), Anonymously(), ByCaddy(time.Hour)}
	replaced := Key{Name: "ci", Hash: storage.HashOf("another")}
	bob, _ := FromContext(WithUser(context.Background(), "bob"))
	for name, tt := range map[string]struct {
		id                              storage.Identity
		valid, notion, github, verified bool
		recheck                         time.Duration
	}{
		"a key":             {key.Identity(), true, true, false, true, 0},
		"a key replaced":    {replaced.Identity(), false, true, false, true, 0},
		"nobody":            {NewAnonymous(), true, true, true, false, 0},
		"a user of Caddy's": {bob, true, true, true, true, time.Hour},
		"not configured":    {storage.Identity{Kind: "user_id", Subject: "user_id:alice"}, false, false, false, false, 0},
	} {
		got := []bool{ms.Valid(tt.id), ms.MayUse(tt.id, "notion"), ms.MayUse(tt.id, "github"), ms.NameVerified(tt.id)}
		if want := []bool{tt.valid, tt.notion, tt.github, tt.verified}; !slices.Equal(got, want) || ms.Recheck(tt.id) != tt.recheck {
			t.Errorf("%s: valid, notion, github, verified = %v, want %v; recheck %s, want %s", name, got, want, ms.Recheck(tt.id), tt.recheck)
		}
	}
	for user, want := range map[string]bool{"bob": true, "eve": false, "": false} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r = r.WithContext(WithUser(r.Context(), user))
		if got := ms.IsCurrent(r, bob); got != want {
			t.Errorf("bob is current while %q is signed in: %v, want %v", user, got, want)
		}
		if !ms.IsCurrent(r, key.Identity()) {
			t.Error("a key needs nobody to be signed in")
		}
	}
	if ms.Message("key") == "" || ms.Message("user_id") != "" {
		t.Error("messages are those of the configured methods")
	}
}

// Letting strangers in and letting people choose their names are two things.
func TestStrangersAndNames(t *testing.T) {
	shared := Method{Kind: "shared_secret", ExcludesStrangers: true}
	ms := Methods{ByVirtualKey(nil), ByUserID(), Anonymously(), ByCaddy(0), shared}
	for kind, want := range map[Kind][2]bool{
		VirtualKey: {true, true}, Caddy: {true, true}, UserID: {false, false}, Anonymous: {false, false}, shared.Kind: {true, false}, "not_configured": {false, false},
	} {
		id := storage.Identity{Kind: string(kind)}
		if got := [2]bool{ms.ExcludesStrangers(id), ms.NameVerified(id)}; got != want {
			t.Errorf("%s: excludes strangers, name verified = %v, want %v", kind, got, want)
		}
	}
	var kinds []Kind
	for _, m := range ms.UnverifiedNames() {
		kinds = append(kinds, m.Kind)
	}
	if !slices.Equal(kinds, []Kind{UserID, shared.Kind}) {
		t.Errorf("names are chosen with %v", kinds)
	}
}

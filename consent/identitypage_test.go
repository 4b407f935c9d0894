package consent

import (
	"net/http"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

func TestIdentityPageShowsWhatIsConfigured(t *testing.T) {
	forms := map[identity.Kind]string{
		identity.VirtualKey: `action="/api/oauth/per-user/consent/vk"`,
		identity.UserID:     `action="/api/oauth/per-user/consent/user-id"`,
		identity.Anonymous:  `action="/api/oauth/per-user/consent/skip"`,
		identity.Caddy:      `action="/api/oauth/per-user/consent/caddy"`,
	}
	for only := range forms {
		t.Run(string(only), func(t *testing.T) {
			s := newSite(t, func(c *config.Site) { c.SignIn = identity.Methods{*c.SignIn.Of(string(only))} })
			s.user = "alice"
			page := s.get("/oauth/consent?flow_id=sealed&choose=1").Body.String()
			for kind, form := range forms {
				if got := strings.Contains(page, form); got != (kind == only) {
					t.Errorf("form of %s on the page: %v", kind, got)
				}
			}
		})
	}
}

func TestIdentityPageKeepsTheOrder(t *testing.T) {
	page := newSite(t, func(c *config.Site) {
		c.SignIn = identity.Methods{identity.Anonymously(), identity.ByVirtualKey(nil)}
	}).get("/oauth/consent?flow_id=sealed").Body.String()
	if strings.Index(page, "consent/skip") > strings.Index(page, "consent/vk") {
		t.Error("the virtual key comes first")
	}
}

func TestIdentityForms(t *testing.T) {
	const services = "/oauth/consent/mcps?flow_id=sealed"
	const again = "/oauth/consent?error="
	bob := identity.FormValue(userIdentity("bob"))
	tests := map[string]struct {
		path     string
		more     []string
		user     string
		location string
		subject  string
	}{
		"key":                {"vk", []string{"vk", testKey}, "", services, "virtual_key:team-a"},
		"wrong key":          {"vk", []string{"vk", "guess"}, "", again + "key&flow_id=sealed", ""},
		"no key":             {"vk", nil, "", again + "key&flow_id=sealed", ""},
		"user id":            {"user-id", []string{"user_id", " alice "}, "", services, "user_id:alice"},
		"no user id":         {"user-id", nil, "", again + "user_id&flow_id=sealed", ""},
		"256 characters":     {"user-id", []string{"user_id", strings.Repeat("a", 256)}, "", again + "user_id&flow_id=sealed", ""},
		"control characters": {"user-id", []string{"user_id", "a\r\nb"}, "", again + "user_id&flow_id=sealed", ""},
		"caddy user":         {"caddy", []string{"identity", bob}, "bob", services, "caddy:bob"},
		"caddy nobody":       {"caddy", []string{"identity", bob}, "", again + "no_user&flow_id=sealed", ""},
		"caddy other user":   {"caddy", []string{"identity", bob}, "eve", again + "other_user&flow_id=sealed", ""},
		"caddy unseen":       {"caddy", nil, "bob", again + "other_user&flow_id=sealed", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.user = tt.user
			w := s.post("/api/oauth/per-user/consent/"+tt.path, tt.more...)
			if w.Code != http.StatusSeeOther {
				t.Fatalf("status = %d\n%s", w.Code, w.Body)
			}
			if got := w.Header().Get("Location"); got != tt.location {
				t.Errorf("Location = %q, want %q", got, tt.location)
			}
			subject := ""
			if s.identity() != nil {
				subject = s.identity().Subject
			}
			if subject != tt.subject {
				t.Errorf("subject = %q, want %q", subject, tt.subject)
			}
		})
	}
}

func TestSkipIsNobodyElse(t *testing.T) {
	s := newSite(t)
	var subjects []string
	for range 2 {
		if w := s.post("/api/oauth/per-user/consent/skip"); w.Code != http.StatusSeeOther {
			t.Fatalf("status = %d", w.Code)
		}
		subjects = append(subjects, s.identity().Subject)
	}
	if subjects[0] == subjects[1] {
		t.Errorf("two people share %q", subjects[0])
	}
}

func TestIdentityFormsNotOffered(t *testing.T) {
	for _, form := range []string{"vk", "user-id", "skip", "caddy"} {
		t.Run(form, func(t *testing.T) {
			s := newSite(t, func(c *config.Site) { c.SignIn = nil })
			s.user = "alice"
			w := s.post("/api/oauth/per-user/consent/"+form, "vk", testKey, "user_id", "alice",
				"identity", identity.FormValue(userIdentity("alice")))
			if w.Code != http.StatusForbidden || s.identity() != nil {
				t.Errorf("status = %d, identity = %+v", w.Code, s.identity())
			}
		})
	}
}

// Who proves nothing could sign in without end; each of them is a record.
func TestUnprovedSignInsAreLimited_G01(t *testing.T) {
	for _, form := range [][]string{{userIDPath, "user_id", "alice"}, {anonymousPath}} {
		t.Run(form[0], func(t *testing.T) {
			if s := newSite(t); s.post(form[0], form[1:]...).Code != http.StatusSeeOther || s.identity() == nil {
				t.Errorf("within the limit: %v", s.identity())
			}
			s := newSite(t).exhausted()
			w := s.post(form[0], form[1:]...)
			if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" || s.identity() != nil {
				t.Errorf("status = %d, headers = %v, identity = %v", w.Code, w.Header(), s.identity())
			}
			if !strings.Contains(w.Body.String(), "Too many sign-ins") || !strings.Contains(w.Body.String(), `href="/oauth/consent?flow_id=sealed"`) {
				t.Errorf("page:\n%s", w.Body)
			}
		})
	}
}

func TestWrongKeysAreLimited(t *testing.T) {
	s := newSite(t).exhausted()
	w := s.post("/api/oauth/per-user/consent/vk", "vk", "guess")
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
		t.Errorf("status = %d, headers = %v", w.Code, w.Header())
	}
	if !strings.Contains(w.Body.String(), `href="/oauth/consent?flow_id=sealed"`) {
		t.Error("no way back")
	}
	if w := s.post("/api/oauth/per-user/consent/vk", "vk", testKey); w.Code != http.StatusSeeOther || s.identity() == nil {
		t.Errorf("the right key beyond the limit: %d, %v", w.Code, s.identity())
	}
}

// A key that was typed is found nowhere afterwards.
func TestKeyIsNotRepeated(t *testing.T) {
	for _, key := range []string{testKey, "wrong-canary"} {
		s := newSite(t)
		w := s.post("/api/oauth/per-user/consent/vk", "vk", key)
		seen := w.Body.String() + s.get("/oauth/consent?flow_id=sealed&error=key").Body.String()
		for _, values := range w.Header() {
			seen += strings.Join(values, "\n")
		}
		for _, entry := range s.logs.All() {
			seen += entry.Message
			for _, field := range entry.Context {
				seen += field.String
			}
		}
		if strings.Contains(seen, "canary") {
			t.Errorf("the key shows up:\n%s", seen)
		}
	}
}

package consent

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/pages"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const servicesURL = "/oauth/consent/mcps?flow_id=sealed"

func TestServicesPage(t *testing.T) {
	page := newSite(t).identified(alice()).get(servicesURL).Body.String()
	for _, want := range []string{
		"Notion", "mcp.example.com/mcp/notion", "github", "mcp.example.com/mcp/github",
		"Change pages", "<code>pages:write</code>", "<code>mcp:use</code>", "app.example", "Not verified",
		"alice", "user ID, not verified", `href="/oauth/consent?choose=1&amp;flow_id=sealed"`, "Access ends after 1 day.",
		`value="approve"`, `value="deny"`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q on the page", want)
		}
	}
	if n := strings.Count(page, "<code>pages:write</code>"); n != 1 {
		t.Errorf("the scope of one server shows %d times", n)
	}
}

func TestServicesPageNeedsAnIdentity(t *testing.T) {
	w := newSite(t).get(servicesURL)
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/oauth/consent?choose=1&flow_id=sealed" {
		t.Errorf("status = %d, Location = %q", w.Code, w.Header().Get("Location"))
	}
}

func TestChoiceOfServers(t *testing.T) {
	const boxes, hidden = `name="resource" value="`, `type="hidden" name="resource"`
	tests := map[string]struct {
		servers, requested     int
		boxes, checked, hidden int
	}{
		"one of one, none requested":  {1, 0, 0, 0, 1},
		"one of one, requested":       {1, 1, 0, 0, 1},
		"two, none requested":         {2, 0, 2, 0, 0},
		"two, both requested":         {2, 2, 2, 2, 0},
		"none allowed by an identity": {0, 1, 0, 0, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			elsewhere := identity.Key{Name: "ci", Hash: storage.HashOf("ci's key"), Servers: []string{"none"}}
			who := alice()
			s := newSite(t, func(c *config.Site) {
				if c.SignIn = signInWith(elsewhere); tt.servers > 0 {
					c.Servers = c.Servers[:tt.servers]
				}
			})
			if tt.servers == 0 {
				who = elsewhere.Identity()
			}
			var resources []string
			for _, server := range s.as.Config().Servers[:tt.requested] {
				resources = append(resources, server.Resource)
			}
			s.asks(registered("Cursor", "https://app.example/cb"), url.Values{"resource": resources})
			whole := s.identified(who).get(servicesURL).Body.String()
			page, _, _ := strings.Cut(whole, "<details") // behind which its tools are
			if n := strings.Count(page, boxes) - strings.Count(page, hidden); n != tt.boxes {
				t.Errorf("%d boxes, want %d", n, tt.boxes)
			}
			if n := strings.Count(strings.ReplaceAll(page, `value="pages:write" checked>`, ""), " checked>"); n != tt.checked {
				t.Errorf("%d checked, want %d", n, tt.checked)
			}
			if n := strings.Count(page, hidden); n != tt.hidden {
				t.Errorf("%d hidden, want %d", n, tt.hidden)
			}
			if got := strings.Contains(whole, `value="approve"`); got != (tt.servers > 0) {
				t.Errorf("can be approved: %v", got)
			}
			if !strings.Contains(whole, `value="deny"`) {
				t.Error("cannot be denied")
			}
		})
	}
}

func TestScopeWords_I19(t *testing.T) {
	s := newSite(t, func(c *config.Site) {
		c.Scopes = []config.Scope{{Name: "pages:write", Description: "Change <pages>"}}
		c.Servers[0].OptionalScopes = []string{"pages:write", "plain"}
		c.Servers[1].OptionalScopes = []string{"of:another"}
	})
	s.asks(registered("Cursor", "https://app.example/cb"), url.Values{
		"scope": {"mcp:use pages:write plain of:another offline_access"}, "resource": {"https://mcp.example.com/mcp/notion"},
	})
	page := s.identified(alice()).get(servicesURL).Body.String()
	for text, want := range map[string]bool{
		"Change &lt;pages&gt; <code>pages:write</code>": true,
		`>plain</label>`: true,
		"of:another":     false,
		"Change <pages>": false,
	} {
		if got := strings.Contains(page, text); got != want {
			t.Errorf("%q on the page: %v, want %v", text, got, want)
		}
	}
}

func TestWhoYouAre(t *testing.T) {
	key := identity.Key{Name: "team-a", Hash: storage.HashOf(testKey)}
	for name, tt := range map[string]struct {
		id   storage.Identity
		want string
	}{
		"virtual key": {key.Identity(), `<strong>team-a</strong> <span class="mark good">virtual key</span>`},
		"user id":     {alice(), `<strong>alice</strong> <span class="mark">user ID, not verified</span>`},
		"anonymous":   {identity.NewAnonymous(), `<strong>Nobody in particular (no account)</strong></span>`},
		"caddy":       {userIdentity("bob"), `<strong>bob</strong> <span class="mark good">signed in to this site</span>`},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t).identified(tt.id)
			s.user = "bob"
			page := s.get(servicesURL).Body.String()
			if !strings.Contains(page, tt.want) {
				t.Errorf("no %q on the page:\n%s", tt.want, page)
			}
			if strings.Contains(page, tt.id.Subject) {
				t.Error("the subject is on the page")
			}
		})
	}
}

func TestLifetimeWords(t *testing.T) {
	for d, want := range map[time.Duration]string{
		time.Second:          "1 minute",
		89 * time.Second:     "1 minute",
		90 * time.Second:     "2 minutes",
		15 * time.Minute:     "15 minutes",
		90 * time.Minute:     "90 minutes",
		time.Hour:            "1 hour",
		36 * time.Hour:       "36 hours",
		24 * time.Hour:       "1 day",
		30 * 24 * time.Hour:  "30 days",
		100*time.Hour + 1e10: "6000 minutes",
	} {
		if got := pages.English.Duration(d); got != want {
			t.Errorf("%s = %q, want %q", d, got, want)
		}
	}
	s := newSite(t)
	s.asks(registered("Cursor", "https://app.example/cb", "authorization_code", "refresh_token"), nil)
	if page := s.identified(alice()).get(servicesURL).Body.String(); !strings.Contains(page, "after 30 days without use, and after 90 days in any case") {
		t.Error("no lifetime of a grant with refresh tokens")
	}
}

func TestApprove_A14_I05(t *testing.T) {
	s := newSite(t)
	s.asks(registered("Cursor", "cursor://anysphere.cursor-mcp/oauth/callback"), nil)
	s.identified(alice())
	first := s.get(servicesURL).Body.String()
	s.get(servicesURL) // a second load must not spoil the first
	r := postRequest(submitPath, "decision", "approve", "identity", shownIdentity(t, first), "resource", "https://mcp.example.com/mcp/notion")
	w := s.do(r)
	if w.Code != http.StatusSeeOther {
		t.Fatalf("status = %d\n%s", w.Code, w.Body)
	}
	to, err := url.Parse(w.Header().Get("Location"))
	if err != nil || to.Scheme != "cursor" || to.Query().Get("code") == "" || to.Query().Get("state") != "s" {
		t.Errorf("Location = %q", to)
	}
	if granted, _ := s.granted(); !slices.Equal(granted, []string{"https://mcp.example.com/mcp/notion"}) {
		t.Errorf("granted %v", granted)
	}
}

func TestDeny_I20(t *testing.T) {
	s := newSite(t).identified(alice())
	w := s.post(submitPath, "decision", "deny", "identity", identity.FormValue(alice()), "resource", "https://mcp.example.com/mcp/notion")
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "https://app.example/cb?error=access_denied&iss=https%3A%2F%2Fmcp.example.com&state=s" {
		t.Errorf("status = %d, Location = %q", w.Code, w.Header().Get("Location"))
	}
	if granted, _ := s.granted(); !s.decided() || granted != nil {
		t.Errorf("decided %v, granted %v", s.decided(), granted)
	}
}

func TestSubmitWithoutDecisionOrChoice(t *testing.T) {
	for name, tt := range map[string]struct {
		more     []string
		status   int
		location string
	}{
		"no decision":    {[]string{"resource", "x"}, 400, ""},
		"other decision": {[]string{"resource", "x", "decision", "yes"}, 400, ""},
		"no server":      {[]string{"decision", "approve"}, 303, "/oauth/consent/mcps?error=no_server&flow_id=sealed&without=pages%3Awrite"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t).identified(alice())
			w := s.post(submitPath, append(tt.more, "identity", identity.FormValue(alice()))...)
			if w.Code != tt.status || w.Header().Get("Location") != tt.location {
				t.Errorf("status = %d, Location = %q", w.Code, w.Header().Get("Location"))
			}
			if s.decided() {
				t.Error("something was decided")
			}
		})
	}
}

func TestSubmitWithoutIdentity(t *testing.T) {
	s := newSite(t)
	w := s.post(submitPath, "decision", "approve", "resource", "x", "identity", identity.FormValue(storage.Identity{}))
	if w.Code != http.StatusSeeOther || s.decided() {
		t.Errorf("status = %d, decided %v", w.Code, s.decided())
	}
}

// Whoever changes the identity in another window cannot make the person
// approve for it.
func TestIdentityChanged_I10(t *testing.T) {
	bob := storage.Identity{Kind: "user_id", Subject: "user_id:bob", Name: "bob"}
	tests := map[string]struct {
		id   storage.Identity // of the flow at submit
		form string           // whom the page showed
		user string           // signed in to the site at submit
	}{
		"identity changed":     {bob, identity.FormValue(alice()), ""},
		"nobody was shown":     {alice(), "", ""},
		"caddy user changed":   {userIdentity("bob"), identity.FormValue(userIdentity("bob")), "eve"},
		"caddy user left":      {userIdentity("bob"), identity.FormValue(userIdentity("bob")), ""},
		"caddy page was eve's": {userIdentity("bob"), identity.FormValue(userIdentity("eve")), "bob"},
	}
	for name, tt := range tests {
		for _, decision := range []string{"approve", "deny"} {
			t.Run(name+" "+decision, func(t *testing.T) {
				s := newSite(t).identified(tt.id)
				s.user = tt.user
				w := s.post(submitPath, "decision", decision, "resource", "x", "identity", tt.form)
				if w.Code != http.StatusConflict || s.decided() {
					t.Errorf("status = %d, decided %v", w.Code, s.decided())
				}
				if !strings.Contains(w.Body.String(), `href="/oauth/consent/mcps?flow_id=sealed"`) {
					t.Error("no way back")
				}
			})
		}
	}
	t.Run("page for another caddy user", func(t *testing.T) {
		s := newSite(t).identified(userIdentity("bob"))
		s.user = "eve"
		if w := s.get(servicesURL); w.Code != http.StatusSeeOther {
			t.Errorf("status = %d, want a redirect to the identity page", w.Code)
		}
	})
	t.Run("store noticed", func(t *testing.T) {
		s := connecting(t)
		f := s.mustOpenFlow()
		s.broker.looked = func() { // on the way to the transaction that ends the flow
			if err := s.as.Flows.Identify(t.Context(), f, bob); err != nil {
				t.Error(err)
			}
		}
		w := s.post(submitPath, "decision", "approve", "resource", "https://mcp.example.com/mcp/github", "identity", identity.FormValue(alice()))
		if w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), "Something changed") {
			t.Errorf("status = %d\n%s", w.Code, w.Body)
		}
	})
}

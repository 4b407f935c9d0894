package consent

import (
	"net/http"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/server"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const linkURL = "/oauth/connect/ticket"

// namesake is a key under the name of a user ID.
var namesake = identity.Key{Name: "alice", Hash: storage.HashOf("alice's key")}

// links makes a link for alice to connect a server.
func (s *site) links(server string, scopes ...string) {
	link := s.as.Links.URL(alice(), server, scopes...)
	s.ticket = link[strings.LastIndex(link, "/")+1:]
}

// linked is a site with a link for alice to connect a server, and somebody, or
// nobody, signed in.
func linked(t *testing.T, server string, person *storage.Identity, scopes ...string) *site {
	t.Helper()
	s := newSiteWith(t, newFakeBroker(), func(c *config.Site) {
		c.SignIn = signInWith(namesake, identity.Key{Name: "team-a", Hash: storage.HashOf(testKey)})
	})
	if person != nil {
		s.signedIn(*person)
	}
	s.links(server, scopes...)
	return s
}

func person(id storage.Identity) *storage.Identity { return &id }

// Whoever is not the person the link was made for connects nothing with it.
func TestLinkOfSomebodyElse_K01_D22(t *testing.T) {
	for name, tt := range map[string]struct {
		person *storage.Identity
		words  string
	}{
		"nobody":         {nil, "works only for the person it was made for"},
		"somebody else":  {person(userIdentity("bob")), "made for somebody else"},
		"same name":      {person(namesake.Identity()), "made for somebody else"},
		"nobody by name": {person(identity.NewAnonymous()), "made for somebody else"},
	} {
		t.Run(name, func(t *testing.T) {
			s := linked(t, "notion", tt.person)
			s.user = "bob"
			w := s.get(linkURL)
			page := w.Body.String()
			if w.Code != http.StatusForbidden || !strings.Contains(page, tt.words) {
				t.Errorf("status = %d\n%s", w.Code, shows(w))
			}
			if strings.Contains(page, "Notion") || strings.Contains(page, "alice") {
				t.Error("the page tells whose link it is, or what for")
			}
			if !strings.Contains(page, `name="ticket" value="ticket"`) {
				t.Error("cannot sign in")
			}
			for _, path := range []string{accountConnectPath, accountKeyPath} {
				if w := s.act(path, "ticket", "ticket", "server", "notion"); w.Code != http.StatusForbidden {
					t.Errorf("%s: %d", path, w.Code)
				}
			}
			if w := s.get(accountKeyPath + "?ticket=ticket"); w.Code != http.StatusForbidden {
				t.Errorf("key page: %d", w.Code)
			}
			if s.broker.started != nil || s.broker.pasted != nil {
				t.Error("connecting began")
			}
		})
	}
}

func TestLinkOfThePerson(t *testing.T) {
	s := linked(t, "notion", person(alice()), "pages.delete")
	page := s.get(linkURL).Body.String()
	for _, want := range []string{
		"Connect Notion", "<strong>alice</strong>", "mcp.example.com/mcp/notion", `action="/oauth/account/connect"`,
		"Asks there for: <code>pages.read</code>, <code>pages.write</code>, <code>pages.delete</code>",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q on the page:\n%s", want, page)
		}
	}
	if s.broker.started != nil {
		t.Fatal("opening the link began to connect")
	}
	cookie := s.act(accountConnectPath, "ticket", "ticket").Result().Cookies()[0]
	c := s.broker.started
	if c.Owner != alice().Subject || c.Server != "notion" || len(c.Scopes) != 1 || !c.KeepUntil.IsZero() {
		t.Errorf("connect request = %+v", c)
	}
	back := s.comesBack("state=state-1&code=c", cookie).Header().Get("Location")
	if back != "/oauth/connect/ticket?done=1&server=notion" {
		t.Errorf("Location = %q", back)
	}
	s.clock.Advance(server.ConnectLinkLifetime)
	page = s.get(back).Body.String()
	if !strings.Contains(page, "Notion is connected") || !strings.Contains(page, "Go back to your application") || strings.Contains(page, accountConnectPath) {
		t.Errorf("page:\n%s", page)
	}
}

// A connection that lacks what the link is for does not count.
func TestLinkForMore(t *testing.T) {
	for name, tt := range map[string]struct {
		state  storage.ConnectionState
		scopes []string
		query  string
		done   bool
	}{
		"works":                {storage.Active, []string{"pages.read", "pages.delete"}, "", true},
		"lacks the scope":      {storage.Active, []string{"pages.read"}, "", false},
		"provider tells less":  {storage.Active, []string{"pages.read"}, "?done=1", true},
		"refused since":        {storage.NeedsReauth, []string{"pages.delete"}, "?done=1", false},
		"said no":              {storage.Active, []string{"pages.read"}, "?done=1&error=declined", false},
		"had it, then said no": {storage.Active, []string{"pages.delete"}, "?done=1&error=declined", true},
	} {
		t.Run(name, func(t *testing.T) {
			s := linked(t, "notion", person(alice()), "pages.delete")
			s.broker.connected(alice().Subject, "notion", tt.state, tt.scopes...)
			page := s.get(linkURL + tt.query).Body.String()
			if strings.Contains(page, "Notion is connected") != tt.done || strings.Contains(page, accountConnectPath) == tt.done {
				t.Errorf("page:\n%s", page)
			}
		})
	}
}

func TestLinkToPasteAKey(t *testing.T) {
	s := linked(t, "github", person(alice()))
	keyPage := s.act(accountConnectPath, "ticket", "ticket").Header().Get("Location")
	if keyPage != "/oauth/account/key?server=github&ticket=ticket" {
		t.Fatalf("Location = %q", keyPage)
	}
	if page := s.get(keyPage).Body.String(); !strings.Contains(page, `name="ticket" value="ticket"`) {
		t.Errorf("key page:\n%s", page)
	}
	w := s.act(accountKeyPath, "ticket", "ticket", "server", "github", "key-0", "k", "key-1", "t")
	if w.Header().Get("Location") != "/oauth/connect/ticket?done=1&server=github" {
		t.Errorf("Location = %q", w.Header().Get("Location"))
	}
	if page := s.get(w.Header().Get("Location")).Body.String(); !strings.Contains(page, "github is connected") {
		t.Errorf("page:\n%s", page)
	}
}

func TestBadLinks(t *testing.T) {
	s := linked(t, "notion", person(alice()))
	for path, status := range map[string]int{
		"/oauth/connect/": 400, "/oauth/connect/other": 400, "/oauth/connect/ticket/": 400,
	} {
		if w := s.get(path); w.Code != status {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	s.clock.Advance(server.ConnectLinkLifetime)
	if w := s.get(linkURL); w.Code != http.StatusGone {
		t.Errorf("expired: %d", w.Code)
	}
	if w := s.act(accountConnectPath, "ticket", "ticket"); w.Code != http.StatusGone || s.broker.started != nil {
		t.Errorf("expired, pressed: %d", w.Code)
	}
	s.links("slack")
	if w := s.get(linkURL); w.Code != http.StatusNotFound {
		t.Errorf("no such server: %d", w.Code)
	}
	s = linked(t, "github", nil)
	s.as.Config().Servers = s.as.Config().Servers[:1]
	if w := s.signedIn(alice()).get(linkURL); w.Code != http.StatusNotFound {
		t.Errorf("a server that is gone: %d", w.Code)
	}
	key := identity.Key{Name: "ci", Hash: storage.HashOf("ci's key"), Servers: []string{"github"}}
	s = newSiteWith(t, newFakeBroker(), func(c *config.Site) { c.SignIn = signInWith(key) }).signedIn(key.Identity())
	link := s.as.Links.URL(key.Identity(), "notion")
	s.ticket = link[strings.LastIndex(link, "/")+1:]
	if w := s.get(linkURL); w.Code != http.StatusNotFound {
		t.Errorf("a server the person lost: %d", w.Code)
	}
}

// The last page says what to do in the application that gave the link, by the
// name of that, if it is one that the person let in.
func TestLinkSaysWhatNext(t *testing.T) {
	named := func(id, name string, who storage.Identity) storage.Grant {
		g := letIn(id, who)
		g.ClientName = name
		return g
	}
	for name, tt := range map[string]struct {
		grant string
		how   mcp.Signal
		want  string
	}{
		"nobody knows":       {"", mcp.InWords, "Go back to your application and try again. You can close this page."},
		"in words":           {"editor", mcp.InWords, "Go back to “\u2068Editor &lt;b&gt;\u2069” and try again. You can close this page."},
		"input required":     {"editor", mcp.ByInputRequired, "Go back to “\u2068Editor &lt;b&gt;\u2069” and confirm there that you are done."},
		"elicitation":        {"editor", mcp.ByElicitation, "Go back to “\u2068Editor &lt;b&gt;\u2069”. It was told, and goes on by itself;"},
		"a known client":     {"claude", mcp.ByElicitation, "Go back to “\u2068Claude Code (notion)\u2069”. If it still waits, press “Retry now” there."},
		"known, asks itself": {"claude", mcp.ByInputRequired, "Go back to “\u2068Claude Code (notion)\u2069” and confirm there"},
		"without a name":     {"unnamed", mcp.InWords, "Go back to your application and try again."},
		"somebody else's":    {"bobs", mcp.ByElicitation, "Go back to your application and try again."},
	} {
		t.Run(name, func(t *testing.T) {
			s := linked(t, "notion", person(alice()))
			s.approved(named("editor", "Editor\u202e <b>", alice()), named("claude", "Claude Code (notion)", alice()),
				named("unnamed", "\u200b", alice()), named("bobs", "Bob's", userIdentity("bob")))
			s.broker.connected(alice().Subject, "notion", storage.Active)
			s.pages.link.askedBy = func(ticket string) (string, mcp.Signal) {
				if ticket != s.ticket {
					t.Errorf("asked about %q", ticket)
				}
				return tt.grant, tt.how
			}
			if page := s.get(linkURL + "?done=1").Body.String(); !strings.Contains(page, tt.want) {
				t.Errorf("no %q on\n%s", tt.want, page)
			}
		})
	}
}

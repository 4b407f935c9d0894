package consent

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/pages"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// flowOwner stands for the owner of what is connected in the flow of a site.
const flowOwner = "flow:flow-1"

// connecting is a site whose two servers people connect, with alice in the flow.
func connecting(t *testing.T) *site {
	t.Helper()
	return newSiteWith(t, newFakeBroker()).identified(alice())
}

// pressConnect presses the button of a server on the services page.
func (s *site) pressConnect(server string, more ...string) *httptest.ResponseRecorder {
	return s.post(flowConnectPath, append([]string{"server", server, "scope", "pages:write", "identity", identity.FormValue(alice())}, more...)...)
}

func TestServicesPageShowsConnections_D3_D4(t *testing.T) {
	tests := map[string]struct {
		owner string
		state storage.ConnectionState
		want  []string
	}{
		"not connected":    {"", "", []string{"Not connected", "Connect Notion<", "Asks there for: <code>pages.read</code>, <code>pages.write</code>", "Required"}},
		"in this flow":     {flowOwner, storage.Active, []string{"Connected", "Connect Notion again<", "May do there: <code>read</code>", "Since 4 March 2026, 05:06 UTC"}},
		"before":           {alice().Subject, storage.Active, []string{"Connected", "Connect Notion again<"}},
		"refused since":    {alice().Subject, storage.NeedsReauth, []string{"Must be connected again", "Connect Notion again<", "Required", "Asks there for: <code>pages.read</code>, <code>pages.write</code>"}},
		"in doubt":         {alice().Subject, storage.InDoubt, []string{"Should be connected again", "Connect Notion again<"}},
		"of somebody else": {"user_id:bob", storage.Active, []string{"Not connected", "Connect Notion<"}},
		"of another flow":  {"flow:flow-2", storage.Active, []string{"Not connected", "Connect Notion<"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := connecting(t)
			if tt.owner != "" {
				s.connected(tt.owner, "notion", tt.state, "read")
			}
			page := s.get(servicesURL).Body.String()
			notion, github, _ := strings.Cut(page, "mcp.example.com/mcp/github")
			for _, want := range tt.want {
				if !strings.Contains(notion, want) {
					t.Errorf("no %q on the page:\n%s", want, notion)
				}
			}
			for _, want := range []string{"Not connected", "Optional", "Connect github<"} {
				if !strings.Contains(github, want) {
					t.Errorf("no %q for GitHub", want)
				}
			}
			if !strings.Contains(page, "app.example") || !strings.Contains(page, "Cursor") {
				t.Error("the page does not name the client and where it waits")
			}
		})
	}
}

func TestScopesThatNobodyTells(t *testing.T) {
	s := connecting(t)
	s.broker.servers["notion"].Auth.Scopes = nil
	page := s.get(servicesURL).Body.String()
	if !strings.Contains(page, pages.English.AsksUnknown) || strings.Contains(page, pages.English.AsksFor+":") {
		t.Errorf("page:\n%s", page)
	}
}

// What was connected in the flow replaces what does not work any more.
func TestConnectionOfTheFlowCounts(t *testing.T) {
	s := connecting(t)
	s.broker.connected(alice().Subject, "notion", storage.NeedsReauth)
	s.connected(flowOwner, "notion", storage.Active)
	if page := s.get(servicesURL).Body.String(); strings.Contains(page, "Must be connected again") {
		t.Error("the page shows the old connection")
	}
}

func TestFinishNeedsWhatIsRequired(t *testing.T) {
	notion, github := "https://mcp.example.com/mcp/notion", "https://mcp.example.com/mcp/github"
	tests := map[string]struct {
		connected string
		state     storage.ConnectionState
		resource  string
		granted   bool
	}{
		"required, not connected": {"", "", notion, false},
		"required, refused since": {alice().Subject, storage.NeedsReauth, notion, false},
		"required, connected now": {flowOwner, storage.Active, notion, true},
		"required, had been":      {alice().Subject, storage.Active, notion, true},
		"required, left out":      {"", "", github, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := connecting(t)
			if tt.connected != "" {
				s.connected(tt.connected, "notion", tt.state)
			}
			w := s.post(submitPath, "decision", "approve", "identity", identity.FormValue(alice()), "resource", tt.resource)
			granted, connected := s.granted()
			if (granted != nil) != tt.granted {
				t.Fatalf("granted: %v\n%s", granted, shows(w))
			}
			if tt.granted {
				if works := tt.state == storage.Active; slices.Equal(connected, []string{"notion"}) != works {
					t.Errorf("connected = %q", connected)
				}
				if who := s.person(); who == nil || who.Subject != alice().Subject {
					t.Errorf("the browser is signed in as %v", who)
				}
				return
			}
			page := s.get(w.Header().Get("Location")).Body.String()
			if !strings.Contains(page, "<strong>Notion:</strong> This service is required.") {
				t.Errorf("the person is not told:\n%s", page)
			}
			if !strings.Contains(page, `value="`+notion+`" checked>`) || strings.Contains(page, `value="`+github+`" checked>`) {
				t.Error("the choice was lost")
			}
			if s.person() != nil {
				t.Error("the browser is signed in")
			}
		})
	}
}

func TestDenyEndsWhatWasConnected(t *testing.T) {
	s := connecting(t)
	s.connected(flowOwner, "notion", storage.Active)
	s.broker.connected(alice().Subject, "github", storage.Active)
	owner := s.owner()
	s.post(submitPath, "decision", "deny", "identity", identity.FormValue(alice()))
	granted, _ := s.granted()
	if !s.decided() || granted != nil || len(s.broker.ended) != 1 || s.broker.ended[0] != [2]string{owner, "notion"} {
		t.Errorf("granted = %v, ended = %v", granted, s.broker.ended)
	}
}

// Only the button on our page, pressed in the flow's browser, leads to a
// provider; before that there is no cookie an answer could come with.
func TestConnectPress_I01_I03_D1_D20(t *testing.T) {
	s := connecting(t)
	for _, page := range []string{
		servicesURL, flowConnectPath + "?flow_id=sealed&mcp_client_id=notion", flowConnectPath + "?flow_id=sealed&server=notion",
	} {
		w := s.get(page)
		if s.broker.started != nil || len(w.Result().Cookies()) > 0 || strings.Contains(w.Header().Get("Location"), "provider") {
			t.Fatalf("%s began to connect", page)
		}
	}
	w := s.pressConnect("notion", "resource", "https://mcp.example.com/mcp/notion")
	if w.Code != http.StatusSeeOther || !strings.HasPrefix(w.Header().Get("Location"), "https://provider.example/authorize?") {
		t.Fatalf("status = %d, Location = %q", w.Code, w.Header().Get("Location"))
	}
	c, cookies := s.broker.started, w.Result().Cookies()
	f := s.mustOpenFlow()
	if c.Server != "notion" || c.Owner != s.owner() || c.Authentication != f.Authentication() || !c.KeepUntil.Equal(f.ExpiresAt) ||
		s.written(c.ReturnTo) != "/oauth/consent/mcps?chosen=notion&flow_id=sealed&server=notion" {
		t.Errorf("connect request = %+v", c)
	}
	if len(cookies) != 1 || storage.HashOf(cookies[0].Value) != c.Browser || len(cookies[0].Value) < 52 {
		t.Errorf("cookies = %v", cookies)
	}
}

func TestConnectCookie_I13(t *testing.T) {
	s := connecting(t)
	c := s.pressConnect("notion").Result().Cookies()[0]
	if !strings.HasPrefix(c.Name, "__Host-mcp_trip_") || !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" ||
		c.SameSite != http.SameSiteLaxMode || c.MaxAge != 900 {
		t.Errorf("cookie = %v", c)
	}
	again := s.pressConnect("notion").Result().Cookies()[0]
	if again.Value == c.Value {
		t.Error("two requests share a secret")
	}
	s = newSiteWith(t, newFakeBroker(), func(c *config.Site) { c.Issuer = "http://localhost:8080" }).identified(alice())
	if c := s.pressConnect("notion").Result().Cookies()[0]; c.Secure || !strings.HasPrefix(c.Name, "mcp_trip_") {
		t.Errorf("cookie without https = %v", c)
	}
}

func TestConnectPressRefused(t *testing.T) {
	tests := map[string]struct {
		forge  func(s *site, r *http.Request)
		more   []string
		status int
	}{
		"cross-site":     {func(_ *site, r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, nil, 403},
		"other browser":  {func(_ *site, r *http.Request) { r.Header.Set("Cookie", "flow=browser-2") }, nil, 403},
		"no token":       {nil, []string{"csrf_token", ""}, 403},
		"another page":   {nil, []string{"identity", identity.FormValue(userIdentity("bob"))}, 409},
		"nobody yet":     {func(s *site, _ *http.Request) { s.asks(registered("Cursor", "https://app.example/cb"), nil) }, nil, 409},
		"no such server": {nil, []string{"server", "slack"}, 404},
		"not offered":    {func(s *site, _ *http.Request) { s.as.Config().Servers = s.as.Config().Servers[1:] }, nil, 404},
		"nothing to do":  {func(s *site, _ *http.Request) { s.broker.servers["notion"].Auth.Mode = "none" }, nil, 404},
		"an operator's":  {func(s *site, _ *http.Request) { s.broker.servers["notion"].Auth.Mode = config.OAuth }, nil, 404},
		"too often":      {func(s *site, _ *http.Request) { s.exhausted() }, nil, 429},
		"submitted since": {func(s *site, _ *http.Request) {
			s.post(submitPath, "decision", "deny", "identity", identity.FormValue(alice()))
		}, nil, 409},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := connecting(t)
			r := postRequest(flowConnectPath, append([]string{"server", "notion", "identity", identity.FormValue(alice())}, tt.more...)...)
			if tt.forge != nil {
				tt.forge(s, r)
			}
			if w := s.do(r); w.Code != tt.status || s.broker.started != nil {
				t.Errorf("status = %d, want %d; connect request = %v", w.Code, tt.status, s.broker.started)
			}
		})
	}
}

// A site where nobody connects anything has nothing of this.
func TestNothingToConnect(t *testing.T) {
	shared := newFakeBroker()
	shared.servers = map[string]*config.Server{"notion": {ID: "notion", Auth: &config.Auth{Mode: "none"}}}
	for name, s := range map[string]*site{
		"no broker": newSite(t).identified(alice()), "none per user": newSiteWith(t, shared).identified(alice()),
	} {
		t.Run(name, func(t *testing.T) {
			for _, path := range []string{
				flowConnectPath, "/oauth/consent/key?flow_id=sealed&server=notion", "/oauth/connect/ticket",
				"/api/oauth/callback?state=x", "/api/oauth/callback/notion?state=x", accountKeyPath,
			} {
				if w := s.get(path); w.Code != http.StatusNotFound || w.Body.String() != "Not found\n" {
					t.Errorf("%s: %d %q", path, w.Code, w.Body)
				}
			}
			if page := s.get(servicesURL).Body.String(); strings.Contains(page, flowConnectPath) || strings.Contains(page, "onnected") {
				t.Error("the services page speaks of connections")
			}
			s.signedIn(alice())
			if page := s.get(accountPath).Body.String(); !strings.Contains(page, "Applications you let in") || strings.Contains(page, "Services") {
				t.Errorf("account page:\n%s", page)
			}
		})
	}
}

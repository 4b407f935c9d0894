package consent

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// home is a site with somebody signed in, outside of any flow.
func home(t *testing.T, id storage.Identity) *site {
	t.Helper()
	return newSiteWith(t, newFakeBroker()).signedIn(id)
}

// act sends a form of the account page.
func (s *site) act(path string, more ...string) *httptest.ResponseRecorder {
	return s.post(path, append([]string{"csrf_token", "csrf-b"}, more...)...)
}

func letIn(id string, who storage.Identity) storage.Grant {
	return storage.Grant{
		ID: id, ClientID: "client-1", ClientName: "Cursor \u202e<b>x</b>", Identity: who,
		Scope: []string{"mcp:use"}, Resources: []string{"https://mcp.example.com/mcp/notion", "https://gone.example/mcp"},
		RedirectURI: "http://127.0.0.1:33418/cb", CreatedAt: time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC),
		LastUsedAt: time.Date(2026, 1, 5, 6, 7, 0, 0, time.UTC),
	}
}

func TestAccountPage(t *testing.T) {
	s := home(t, alice())
	s.broker.connected(alice().Subject, "notion", storage.Active, "pages.read")
	s.broker.connected("user_id:bob", "github", storage.Active)
	s.approved(letIn("grant-1", alice()))
	page := s.get(accountPath).Body.String()
	for _, want := range []string{
		"<strong>alice</strong>", "user ID, not verified", "Sign out<", "Sign out everywhere<",
		"Notion", "Connected", "<code>pages.read</code>", "Since 4 March 2026", "Connect Notion again", "Disconnect<",
		"github", "Not connected", "Connect github<",
		"Cursor &lt;b&gt;x&lt;/b&gt;", "Not verified", "a program on this computer (127.0.0.1:33418)",
		"2 January 2026, 03:04 UTC", "5 January 2026, 06:07 UTC", "<code>mcp:use</code>", "Revoke access<", `name="grant" value="grant-1"`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q on the page:\n%s", want, page)
		}
	}
	if strings.Contains(page, alice().Subject) || strings.Contains(page, "gone.example") {
		t.Error("the page shows what is nobody's business")
	}
	if strings.Count(page, ">Disconnect<") != 1 {
		t.Error("what is not connected can be disconnected")
	}
}

// Whoever is signed in sees the servers that they may use, whether there is an
// account to connect or not, and none else.
func TestAccountListsServers(t *testing.T) {
	key := identity.Key{Name: "ci", Hash: storage.HashOf("ci's key"), Servers: []string{"github"}}
	for _, test := range []struct {
		who          storage.Identity
		want, absent []string
	}{
		{alice(), []string{">https://mcp.example.com/mcp/notion<", ">https://mcp.example.com/mcp/github<", `aria-label="Address of Notion"`}, nil},
		{key.Identity(), []string{">https://mcp.example.com/mcp/github<"}, []string{"mcp/notion", "Notion"}},
	} {
		for _, broker := range []*fakeBroker{nil, newFakeBroker()} {
			s := newSiteWith(t, broker, func(c *config.Site) { c.SignIn = signInWith(key) }).signedIn(test.who)
			page := s.get(accountPath).Body.String()
			for _, want := range test.want {
				if !strings.Contains(page, want) {
					t.Errorf("%s: no %q on the page:\n%s", test.who.Name, want, page)
				}
			}
			for _, absent := range test.absent {
				if strings.Contains(page, absent) {
					t.Errorf("%s: %q on the page:\n%s", test.who.Name, absent, page)
				}
			}
		}
	}
}

// Who connected an account sees which, as text; one that works no more is none.
func TestAccountNamesTheConnectedAccount(t *testing.T) {
	s := home(t, alice())
	s.broker.connected(alice().Subject, "notion", storage.Active)
	s.broker.connected(alice().Subject, "github", storage.NeedsReauth)
	for server, account := range map[string]string{"notion": "jane@acme.com · <b>Acme</b>\u202e", "github": "jane"} {
		key := [2]string{alice().Subject, server}
		status := s.broker.connections[key]
		status.Account = account
		s.broker.connections[key] = status
	}
	page := s.get(accountPath).Body.String()
	for _, want := range []string{"Connected as \u2068jane@acme.com · &lt;b&gt;Acme&lt;/b&gt;\u2069<", "Must be connected again<"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q on the page:\n%s", want, page)
		}
	}
}

// Scopes are told in the operator's words.
func TestAccountDescribesScopes(t *testing.T) {
	s := home(t, alice())
	s.as.Config().Scopes = []config.Scope{{Name: "pages:write", Description: "Change pages"}}
	g := letIn("grant-1", alice())
	g.Scope = []string{"mcp:use", "pages:write", "other", "connect:notion"}
	s.approved(g)
	page := s.get(accountPath).Body.String()
	for _, want := range []string{"<li>Use all its tools, and read what it offers <code>mcp:use</code></li>", "<li>Change pages <code>pages:write</code></li>", "<li>other</li>"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q on the page:\n%s", want, page)
		}
	}
	if strings.Contains(page, "connect:notion") {
		t.Error("a scope of our own is shown")
	}
}

// What ends something asks before, and what it did is told after, once.
func TestAccountAsksAndTells(t *testing.T) {
	for _, test := range []struct{ path, field, value, want string }{
		{revokeGrantPath, "grant", "mine", "“\u2068Cursor &lt;b&gt;x&lt;/b&gt;\u2069” has no access any more."},
		{choosePath, "grant", "mine", "What “\u2068Cursor &lt;b&gt;x&lt;/b&gt;\u2069” may use is changed."},
		{revokeGrantPath, "grant", "theirs", "The application has no access any more."},
		{disconnectPath, "server", "notion", "Notion is disconnected."},
		{signOutPath, "", "", "You are signed out in this browser."},
		{signOutEverywherePath, "", "", "You are signed out everywhere"},
	} {
		t.Run(test.path+" "+test.value, func(t *testing.T) {
			s := home(t, alice())
			s.approved(letIn("mine", alice()), letIn("theirs", userIdentity("bob")))
			s.broker.connected(alice().Subject, "notion", storage.Active)
			if test.path != signOutPath {
				asked := 0
				for _, question := range strings.Split(s.get(accountPath).Body.String(), "<details")[1:] {
					question, after, _ := strings.Cut(question, "</details>")
					asked += strings.Count(question, `action="`+test.path+`"`)
					if strings.Contains(after, `action="`+test.path+`"`) {
						t.Error("a form outside of its question")
					}
				}
				if asked != 1 {
					t.Errorf("asked %d times, want once", asked)
				}
			}
			w := s.act(test.path, test.field, test.value)
			cookies := w.Result().Cookies()
			i := slices.IndexFunc(cookies, func(c *http.Cookie) bool { return c.Name == "__Host-mcp_done_account" })
			if w.Header().Get("Location") != accountPath || i < 0 {
				t.Fatalf("%d to %q with %v", w.Code, w.Header().Get("Location"), cookies)
			}
			r := httptest.NewRequest(http.MethodGet, accountPath, nil)
			r.AddCookie(cookies[i])
			w = s.do(r)
			if page := w.Body.String(); !strings.Contains(page, `role="status">`+test.want) {
				t.Errorf("no %q on the page:\n%s", test.want, page)
			}
			i = slices.IndexFunc(w.Result().Cookies(), func(c *http.Cookie) bool { return c.Name == "__Host-mcp_done_account" && c.MaxAge < 0 })
			if i < 0 {
				t.Error("the next page will say it again")
			}
		})
	}
}

// No address makes the page say that something was done.
func TestAccountTellsNothingByAddress(t *testing.T) {
	s := home(t, alice())
	for _, query := range []string{"?done=revoked", "?code=revoked&about=x", "?server=notion", "?server=github&done=1"} {
		if page := s.get(accountPath + query).Body.String(); strings.Contains(page, `role="status"`) {
			t.Errorf("%s:\n%s", query, page)
		}
	}
}

// A registered client's name is the operator's word.
func TestAccountShowsRegisteredClients(t *testing.T) {
	s := home(t, alice())
	s.as.Config().Clients = append(s.as.Config().Clients, config.Client{ID: "client-1"})
	s.approved(letIn("grant-1", alice()))
	if page := s.get(accountPath).Body.String(); !strings.Contains(page, "Registered by the operator") || strings.Contains(page, "Not verified") {
		t.Errorf("page:\n%s", page)
	}
}

// A server that the identity lost can only be disconnected.
func TestAccountAfterTheKeyLostAServer(t *testing.T) {
	key := identity.Key{Name: "ci", Hash: storage.HashOf("ci's key"), Servers: []string{"github"}}
	who := key.Identity()
	s := newSiteWith(t, newFakeBroker(), func(c *config.Site) { c.SignIn = signInWith(key) }).signedIn(who)
	if page := s.get(accountPath).Body.String(); strings.Contains(page, "Notion") {
		t.Error("the server is offered")
	}
	s.broker.connected(who.Subject, "notion", storage.Active)
	page := s.get(accountPath).Body.String()
	if !strings.Contains(page, "Disconnect<") || strings.Contains(page, "Connect Notion") {
		t.Errorf("page:\n%s", page)
	}
	if w := s.act(accountConnectPath, "server", "notion"); w.Code != http.StatusNotFound || s.broker.started != nil {
		t.Errorf("connect: %d", w.Code)
	}
	if w := s.act(disconnectPath, "server", "notion"); w.Code != http.StatusSeeOther || len(s.broker.ended) != 1 {
		t.Errorf("disconnect: %d", w.Code)
	}
}

func TestAccountForms(t *testing.T) {
	s := home(t, alice())
	s.approved(letIn("mine", alice()), letIn("other", alice()), letIn("theirs", userIdentity("bob")))
	s.broker.connected(alice().Subject, "notion", storage.Active)

	if w := s.act(revokeGrantPath, "grant", "mine"); w.Header().Get("Location") != accountPath || !slices.Equal(s.grantsOf(alice()), []string{"other"}) {
		t.Errorf("revoke: %d, left %v", w.Code, s.grantsOf(alice()))
	}
	if w := s.act(revokeGrantPath, "grant", "theirs"); w.Header().Get("Location") != accountPath || len(s.grantsOf(userIdentity("bob"))) != 1 {
		t.Errorf("somebody else's grant: %d, left %v", w.Code, s.grantsOf(userIdentity("bob")))
	}
	if w := s.act(disconnectPath, "server", "notion"); w.Header().Get("Location") != accountPath ||
		len(s.broker.ended) != 1 || s.broker.ended[0] != [2]string{alice().Subject, "notion"} {
		t.Errorf("disconnect: %d, %v", w.Code, s.broker.ended)
	}
	if w := s.act(disconnectPath, "server", "slack"); w.Code != http.StatusNotFound {
		t.Errorf("disconnect what does not exist: %d", w.Code)
	}
	w := s.act(accountConnectPath, "server", "notion")
	if !strings.HasPrefix(w.Header().Get("Location"), "https://provider.example/") {
		t.Fatalf("connect: %d", w.Code)
	}
	if c := s.broker.started; c.Owner != alice().Subject || c.ReturnTo != "/oauth/account?server=notion" || !c.KeepUntil.IsZero() {
		t.Errorf("connect request = %+v", c)
	}
	w = s.act(accountConnectPath, "server", "github")
	if w.Header().Get("Location") != "/oauth/account/key?server=github" {
		t.Fatalf("connect by a key: %q", w.Header().Get("Location"))
	}
	if page := s.get(w.Header().Get("Location")).Body.String(); !strings.Contains(page, "Personal access token") {
		t.Errorf("key page:\n%s", page)
	}
	if w := s.act(accountKeyPath, "server", "github", "key-0", "k", "key-1", "t"); w.Header().Get("Location") != "/oauth/account?server=github" ||
		s.broker.connections[[2]string{alice().Subject, "github"}].State != storage.Active {
		t.Errorf("paste: %d, %v", w.Code, s.broker.connections)
	}
	if w := s.act(signOutEverywherePath); w.Header().Get("Location") != accountPath || len(s.grantsOf(alice())) > 0 || s.person() != nil {
		t.Errorf("sign out everywhere: %d, %v, %v", w.Code, s.grantsOf(alice()), s.person())
	}
}

func TestAccountFormsForged_I04(t *testing.T) {
	for _, path := range []string{
		revokeGrantPath, disconnectPath, accountConnectPath, accountKeyPath, signOutPath, signOutEverywherePath, accountFormsPath + "user-id",
	} {
		t.Run(path, func(t *testing.T) {
			s := home(t, alice())
			s.approved(letIn("mine", alice()))
			values := []string{"server", "notion", "grant", "mine", "user_id", "eve", "key-0", "k"}
			r := postRequest(path, append([]string{"csrf_token", "csrf-b"}, values...)...)
			r.Header.Set("Sec-Fetch-Site", "cross-site")
			for what, w := range map[string]*httptest.ResponseRecorder{
				"cross-site": s.do(r), "no token": s.post(path, values...),
			} {
				if w.Code != http.StatusForbidden {
					t.Errorf("%s: %d", what, w.Code)
				}
				if what == "no token" && !strings.Contains(w.Body.String(), `href="/oauth/account"`) {
					t.Error("the person cannot go back")
				}
			}
			if s.person().Subject != alice().Subject || len(s.grantsOf(alice())) != 1 || len(s.broker.ended) > 0 || s.broker.started != nil || s.broker.pasted != nil {
				t.Error("the form had an effect")
			}
		})
	}
}

// What an operator connected for everybody is not a person's to end.
func TestDisconnectTheSharedConnection(t *testing.T) {
	s := home(t, alice())
	s.broker.servers["notion"].Auth.Mode = config.OAuth
	if w := s.act(disconnectPath, "server", "notion"); w.Code != http.StatusNotFound || len(s.broker.ended) > 0 {
		t.Errorf("status = %d, ended %v", w.Code, s.broker.ended)
	}
}

func TestDisconnectFails(t *testing.T) {
	s := home(t, alice())
	s.broker.err = storage.ErrClosed
	if w := s.act(disconnectPath, "server", "notion"); w.Code != http.StatusServiceUnavailable {
		t.Errorf("status = %d", w.Code)
	}
	s.broker.err = &client.Error{Problem: client.ProviderDown}
	if w := s.act(accountConnectPath, "server", "notion"); !strings.HasPrefix(w.Header().Get("Location"), "/oauth/account?server=notion&error=provider_down&ref=") {
		t.Errorf("Location = %q", w.Header().Get("Location"))
	}
	// An operator has to see to a provider that does not answer.
	if lines := s.logs.FilterLevelExact(zap.WarnLevel).FilterField(zap.String("reason", "provider_down")).Len(); lines != 1 {
		t.Errorf("got %d warnings of a provider that is down, want 1", lines)
	}
}

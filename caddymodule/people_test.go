package caddymodule

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// employee is jane, who signed in at her company's identity provider and has a
// stream open.
type employee struct {
	*instance
	idp    *oauthtest.IdentityProvider
	answer string // of the token endpoint
	token  string
	stream io.Reader
}

func newEmployee(t *testing.T, options string) *employee {
	t.Setenv("OIDC_SECRET", "a-secret-of-the-provider")
	idp := oauthtest.NewIdentityProvider(t)
	up, next := eventStream(t)
	t.Cleanup(func() { close(next) })
	g := newGateway(t, oidcLines(idp, options)+"server a /mcp "+up.URL)
	g.identity, g.browser = "elsewhere", g.browserTo(idp)
	e := &employee{instance: g, idp: idp}
	e.signsIn()
	return e
}

func (e *employee) signsIn() {
	e.t.Helper()
	e.answer = e.signIn("client", e.url+"/mcp")
	e.token = accessToken(e.t, e.answer)
	e.stream = e.call("GET", "/mcp", "", "Authorization", "Bearer "+e.token).Body
	if got, err := readEvent(e.stream); got != "open" {
		e.t.Fatalf("got %v, error %v; want %v", got, err, "open")
	}
}

// record is what is kept of jane.
func (e *employee) record() storage.Person {
	e.t.Helper()
	p, err := e.store().Person(context.Background(), e.url, "oidc:idp:jane", time.Now())
	if err != nil {
		e.t.Fatal(err)
	}
	return p
}

// later changes what is kept of jane as time would, and lets the gateway do what it
// does every few seconds.
func (e *employee) later(change func(p *storage.Person)) {
	e.t.Helper()
	oauthtest.Eventually(e.t, "the person changes all the time", func() bool {
		p := e.record()
		change(&p)
		_, v, err := e.store().UpdatePerson(context.Background(), p, time.Now())
		return err == nil && v == storage.OK
	})
	e.forgets()
	e.state().renew(context.Background())
	e.forgets()
	e.state().recheck(context.Background())
}

// forgets is what five seconds do to what the gate remembers.
func (e *employee) forgets() {
	e.state().tokens.Forget(storage.Revocation{AccessTokens: []storage.Hash{storage.HashOf(e.token)}})
}

func due(p *storage.Person) { p.DueAt = time.Now() }

// out checks that nothing of what jane had is good any more.
func (e *employee) out() {
	e.t.Helper()
	if got, err := readEvent(e.stream); !errors.Is(err, io.EOF) {
		e.t.Errorf("the stream: %q, %v", got, err)
	}
	status(e.t, e.call("POST", "/mcp", initialize, "Authorization", "Bearer "+e.token), http.StatusUnauthorized)
	if body := e.refresh(e.answer, http.StatusBadRequest); !strings.Contains(body, "invalid_grant") {
		e.t.Errorf("a refresh: %s", body)
	}
}

// J10: whoever is removed at the identity provider is out when it is asked again,
// open streams too, and comes back by signing in there alone.
func TestRemovedAtIdentityProvider_J10_E18(t *testing.T) {
	e := newEmployee(t, "")
	e.later(due)
	if n := len(e.idp.Requests(oauthtest.TokenPath)); n != 2 {
		t.Fatalf("%d requests of tokens, want 2: the login, and one again", n)
	}
	if n := e.state().Streams.Len(); n != 1 {
		t.Fatalf("%d streams, want 1", n)
	}
	e.idp.Disable("jane")
	e.later(due)
	e.out()
	line := logLine(t, e.log(), "what a person had was ended")
	if line["level"] != "info" || line["person"] != "oidc:idp:jane" || line["correlation_id"] == "" {
		t.Errorf("the log says %v", line)
	}
	if strings.Contains(e.log(), "rt-") {
		t.Error("a refresh token is in the log")
	}
}

// D09: a group that is removed ends what rests on it within the recheck time.
func TestGroupRemovedAtIdentityProvider_D09_E18(t *testing.T) {
	e := newEmployee(t, "allow group:staff")
	e.idp.Change(func() { e.idp.People["jane"]["groups"] = []string{"alumni"} })
	e.later(func(*storage.Person) {})
	if n := e.state().Streams.Len(); n != 1 {
		t.Fatalf("before it is asked: %d streams, want 1", n)
	}
	e.later(due)
	e.out()
	e.idp.Change(func() { e.idp.People["jane"]["groups"] = []string{"staff"} })
	e.out() // giving it back revives nothing
	e.signsIn()
}

// D09: what the provider says at a login counts at once, also when it lets nobody in.
func TestGroupRemovedBeforeTheNextLogin_D09_E18(t *testing.T) {
	e := newEmployee(t, "allow group:staff\nscopes openid")
	e.idp.Change(func() { e.idp.People["jane"]["groups"] = []string{"alumni"} })
	page := e.browserTo(e.idp).Open(t, e.authorizeURL(e.url+"/mcp"))
	if !strings.Contains(page.Text(), "does not let you in with that account") {
		t.Fatalf("page: %s", page.Text())
	}
	e.forgets()
	e.state().recheck(context.Background())
	if got := e.call("POST", "/mcp", initialize, "Authorization", "Bearer "+e.token).StatusCode; got != http.StatusUnauthorized {
		t.Fatalf("a call is answered %d, want 401", got)
	}
	e.out()
	if line := logLine(t, e.log(), "what a person had was ended"); line["person"] != "oidc:idp:jane" {
		t.Errorf("the log says %v", line)
	}
	e.idp.Change(func() { e.idp.People["jane"]["groups"] = []string{"staff"} })
	e.out() // giving it back revives nothing
}

// While the identity provider is down for long, calls wait, and nothing is lost.
func TestIdentityProviderDown(t *testing.T) {
	e := newEmployee(t, "recheck 10m")
	good := e.idp.Page(oauthtest.TokenPath, oauthtest.Answer(http.StatusBadGateway, "text/html", oauthtest.Canary))
	e.later(due)
	if n := e.state().Streams.Len(); n != 1 {
		t.Errorf("%d streams, want 1: one failure is none", n)
	}
	if line := logLine(t, e.log(), "a provider does not answer"); line["level"] != "warn" || line["identity"] != "oidc:idp" {
		t.Errorf("the log says %v", line)
	}
	e.later(func(p *storage.Person) { p.VerifiedAt = time.Now().Add(-21 * time.Minute); due(p) })
	if got, err := readEvent(e.stream); !errors.Is(err, io.EOF) {
		t.Errorf("the stream: %q, %v", got, err)
	}
	refused := e.call("POST", "/mcp", initialize, "Authorization", "Bearer "+e.token)
	if refused.Header.Get("Retry-After") == "" || refused.Header.Get("WWW-Authenticate") != "" {
		t.Errorf("headers %v", refused.Header)
	}
	if body := status(t, refused, http.StatusServiceUnavailable); !strings.Contains(body, "identity provider") {
		t.Errorf("the call: %s", body)
	}
	e.refresh(e.answer, http.StatusServiceUnavailable)
	e.idp.Page(oauthtest.TokenPath, good)
	e.later(due)
	if got, err := readEvent(e.call("GET", "/mcp", "", "Authorization", "Bearer "+e.token).Body); got != "open" {
		t.Errorf("afterwards: %q, %v", got, err)
	}
	e.refresh(e.answer, http.StatusOK)
	if strings.Contains(e.log(), oauthtest.Canary) {
		t.Error("the log has what the provider's page said")
	}
}

// J10: a logout at the identity provider ends what came from there, streams too.
func TestBackchannelLogoutOfStream_J10_E18(t *testing.T) {
	e := newEmployee(t, "")
	logOut := func(token string) *http.Response {
		return e.call("POST", "/oauth/login/backchannel/oidc-idp", url.Values{"logout_token": {token}}.Encode(),
			"Content-Type", "application/x-www-form-urlencoded", "Authorization", "")
	}
	for name, token := range map[string]string{
		"nonce":          e.idp.LogoutToken("jane", oauthtest.Object{"nonce": "n"}),
		"another client": e.idp.LogoutToken("jane", oauthtest.Object{"aud": "sibling"}),
		"an ID token":    e.idp.Signed(e.idp.Issued("jane")),
	} {
		if body := status(t, logOut(token), http.StatusBadRequest); !strings.Contains(body, "invalid_request") || !strings.Contains(body, "correlation_id") {
			t.Errorf("%s: %s", name, body)
		}
	}
	status(t, logOut(e.idp.LogoutToken("joe", nil)), http.StatusOK)
	e.state().recheck(t.Context())
	if n := e.state().Streams.Len(); n != 1 {
		t.Fatalf("%d streams, want 1", n)
	}
	token := e.idp.LogoutToken("jane", oauthtest.Object{"sub": nil})
	got := logOut(token)
	if status(t, got, http.StatusOK); got.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", got.Header)
	}
	e.state().recheck(t.Context())
	e.out()
	status(t, logOut(token), http.StatusBadRequest)
	// Once more with the sub alone, in a session that ended meanwhile.
	e.idp.Change(func() { e.idp.Claims = func(claims oauthtest.Object) { claims["sid"] = "a later session" } })
	e.signsIn()
	status(t, logOut(e.idp.LogoutToken("jane", oauthtest.Object{"sid": nil})), http.StatusOK)
	e.state().recheck(t.Context())
	e.out()
	if _, err := e.store().Person(t.Context(), e.url, "oidc:idp:jane", time.Now()); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("the person: %v", err)
	}
}

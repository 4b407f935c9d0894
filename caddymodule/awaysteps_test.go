//go:build postgres

package caddymodule

import (
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/pages"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/pgtest"
)

// awayStep is a request that needs the database. before leads up to it; request can be
// made again.
type awayStep struct {
	name string
	page bool // a person reads the answer
	// once is what it says, unless it works, where a database that stood still may have
	// done it meanwhile.
	once    string
	before  func(*awayVisit)
	request func(*awayVisit) *oauthtest.Page
}

// awayVisit is an app and its person, on their way.
type awayVisit struct {
	*app
	*person
	t    *testing.T
	page *oauthtest.Page
	code string
}

// asks sends a request of the app.
func (v *awayVisit) asks(method, path, body string, headers ...string) *oauthtest.Page {
	res := v.app.send(method, path, body, headers...)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return &oauthtest.Page{Status: res.StatusCode, Header: res.Header, Body: string(text)}
}

func (v *awayVisit) posts(path string, values ...string) *oauthtest.Page {
	form := url.Values{"client_id": {v.id}}
	for i := 0; i < len(values); i += 2 {
		form.Set(values[i], values[i+1])
	}
	return v.asks("POST", path, form.Encode(), "Content-Type", formType)
}

// submits presses a button of the page that the person is on.
func submits(path string, values ...string) func(*awayVisit) *oauthtest.Page {
	form := url.Values{}
	for i := 0; i < len(values); i += 2 {
		form.Set(values[i], values[i+1])
	}
	return func(v *awayVisit) *oauthtest.Page { return v.browser.Submit(v.t, v.page, path, form) }
}

// loads loads the page that the person is on once more.
func loads(v *awayVisit) *oauthtest.Page { return v.visit(v.page.URL.String()) }

func (v *awayVisit) onAccountPage() {
	v.accountPage()
	v.page = v.visit(v.person.g.url + "/oauth/account")
}

func (v *awayVisit) hasTokens() {
	v.app.registers(http.StatusCreated, nil)
	v.redeems(http.StatusOK, v.approves(v.person))
}

var awaySteps = []awayStep{
	{"register", false, "", func(*awayVisit) {}, func(v *awayVisit) *oauthtest.Page {
		return v.asks("POST", "/api/oauth/per-user/register", `{"redirect_uris":["http://127.0.0.1:7777/cb"],"token_endpoint_auth_method":"none"}`, "Content-Type", "application/json")
	}},
	{"authorize", true, "", func(v *awayVisit) { v.registers(http.StatusCreated, nil) }, func(v *awayVisit) *oauthtest.Page { return v.opens(v.person) }},
	{"say who one is", true, "", func(v *awayVisit) {
		v.registers(http.StatusCreated, nil)
		v.page = v.opens(v.person)
	}, func(v *awayVisit) *oauthtest.Page {
		return submits("/api/oauth/per-user/consent/vk", "vk", keyOf(v.person.name))(v)
	}},
	{"go to an identity provider", true, "", func(v *awayVisit) {
		v.registers(http.StatusCreated, nil)
		v.page = v.opens(v.person)
	}, submits("/api/oauth/per-user/consent/oidc-idp")},
	{"come back from the identity provider", true, pages.English.LoginEnded, func(v *awayVisit) {
		v.registers(http.StatusCreated, nil)
		v.page = v.opens(v.person)
		v.browser.Follows = func(u *url.URL) bool { return !strings.HasPrefix(u.Path, identity.CallbackPath) }
		v.page = submits("/api/oauth/per-user/consent/oidc-idp")(v)
	}, func(v *awayVisit) *oauthtest.Page { return v.browser.Follow(v.t, v.page) }},
	{"see what is asked for", true, "", (*awayVisit).signedIn, loads},
	{"connect", true, "", (*awayVisit).signedIn, submits("/api/oauth/per-user/upstream/authorize", "server", "notion")},
	{"come back from the provider", true, pages.English.Refused[string(accounts.RequestEnded)], func(v *awayVisit) {
		v.signedIn()
		v.browser.Follows = func(u *url.URL) bool { return !strings.HasPrefix(u.Path, config.SharedCallbackPath) }
		v.page = submits("/api/oauth/per-user/upstream/authorize", "server", "notion")(v)
	}, func(v *awayVisit) *oauthtest.Page { return v.browser.Follow(v.t, v.page) }},
	{"approve", true, "", (*awayVisit).signedIn, submits("/api/oauth/per-user/consent/submit", "decision", "approve")},
	{"redeem the code", false, "", func(v *awayVisit) {
		v.registers(http.StatusCreated, nil)
		v.code = v.approves(v.person)
	}, func(v *awayVisit) *oauthtest.Page {
		return v.posts("/api/oauth/per-user/token", "grant_type", "authorization_code", "code", v.code, "code_verifier", appVerifier, "redirect_uri", v.redirect, "resource", v.resource)
	}},
	{"refresh", false, "", (*awayVisit).hasTokens, func(v *awayVisit) *oauthtest.Page {
		return v.posts("/api/oauth/per-user/token", "grant_type", "refresh_token", "refresh_token", v.refreh)
	}},
	{"call", false, "", func(v *awayVisit) {
		v.resource = v.app.g.url + "/a"
		v.hasTokens()
	}, func(v *awayVisit) *oauthtest.Page {
		return v.asks("POST", "/a", toolCall, "Content-Type", "application/json", "Authorization", "Bearer "+v.access)
	}},
	{"revoke", false, "", (*awayVisit).hasTokens, func(v *awayVisit) *oauthtest.Page {
		return v.posts("/api/oauth/per-user/revoke", "token", v.refreh)
	}},
	{"sign in to the account page", true, "", func(v *awayVisit) { v.page = v.visit(v.person.g.url + "/oauth/account") },
		func(v *awayVisit) *oauthtest.Page {
			return submits("/oauth/account/vk", "vk", keyOf(v.person.name))(v)
		}},
	{"see the account page", true, "", (*awayVisit).onAccountPage, loads},
	{"connect there", true, "", (*awayVisit).onAccountPage, submits("/oauth/account/connect", "server", "notion")},
	{"disconnect", true, "", func(v *awayVisit) {
		v.connect("notion")
		v.onAccountPage()
	}, submits("/oauth/account/disconnect", "server", "notion")},
	{"sign out", true, "", (*awayVisit).onAccountPage, submits("/oauth/account/sign-out")},
	{"open a link to connect", true, "", func(v *awayVisit) {
		told := status(v.t, v.person.call(toolCall), http.StatusOK)
		link := connectLink.FindString(told)
		if link == "" {
			v.t.Fatalf("no link: %s", told)
		}
		v.onAccountPage()
		v.page = &oauthtest.Page{}
		v.page.URL, _ = url.Parse(link)
	}, loads},
}

func (v *awayVisit) signedIn() {
	v.registers(http.StatusCreated, nil)
	v.page = v.signsIn(v.person)
}

// Whatever somebody is about to do when the database stops answering, they are told
// within seconds, and from then on at once, to come back; a person reads that on a page
// whose reference is in the log. When it answers, the same request works.
func TestStepsWhileAway_E16(t *testing.T) {
	server := pgtest.For(t, pgtest.Options{})
	notion := newService(t)
	t.Setenv("OIDC_SECRET", "a-secret-of-the-provider")
	idp := oauthtest.NewIdentityProvider(t)
	g := &instance{t: t, addr: freeAddr(t), dir: t.TempDir()}
	g.url, g.logs = "http://"+g.addr, filepath.Join(g.dir, "caddy.log")
	names := make([]string, len(awaySteps))
	for i := range awaySteps {
		names[i] = "person" + string(rune('a'+i))
	}
	g.load(g.onPostgres(people(names...)+oidcLines(idp, "")+notion.server("optional")+"server a /a "+oauthtest.Serve(t, nil).URL, server.DSN()))
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
		g.wantReferencesInLog()
	})
	for i, step := range awaySteps {
		t.Run(step.name, func(t *testing.T) {
			v := &awayVisit{app: g.app(step.name, ""), person: g.person(names[i]), t: t}
			v.app.address = ""
			step.before(v)
			if err := server.Pause(); err != nil {
				t.Fatal(err)
			}
			first := time.Now()
			wantAway(t, g, step, step.request(v))
			noticed := time.Since(first)
			again := time.Now()
			wantAway(t, g, step, step.request(v))
			if took := time.Since(again); took > time.Second {
				t.Errorf("told after %v though it is known, want at once", took)
			}
			if t.Logf("told after %v", noticed); noticed > 6*time.Second {
				t.Errorf("told after %v, want a few seconds", noticed)
			}
			if err := server.Continue(); err != nil {
				t.Fatal(err)
			}
			oauthtest.Eventually(t, "it does not become ready again", func() bool { return readiness() == nil })
			answer := step.request(v)
			if step.once != "" && answer.Status == http.StatusBadRequest {
				answer.MustShow(t, step.once)
			} else if answer.Status >= 400 {
				t.Errorf("once it answers: %d: %s", answer.Status, answer.Body)
			}
		})
	}
}

// wantAway checks an answer without the database.
func wantAway(t *testing.T, g *instance, step awayStep, answer *oauthtest.Page) {
	t.Helper()
	if answer.Status != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" {
		t.Errorf("status %d, Retry-After %q: %s", answer.Status, answer.Header.Get("Retry-After"), answer.Body)
		return
	}
	if !step.page {
		return
	}
	answer.MustShow(t, "Not available right now", "cannot answer right now", "Try again in a moment")
	if shown := reference(answer); shown == "" || !strings.Contains(g.log(), shown) {
		t.Errorf("reference %q, which is not in the log", shown)
	}
}

package caddymodule

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/faults"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/trace"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// behindProxy has a configuration believe in X-Forwarded-For.
func behindProxy(caddyfile string) string {
	return strings.Replace(caddyfile, "admin off", "admin off\nservers {\ntrusted_proxies static 127.0.0.1/32\n}", 1)
}

// app is a client of a name, on a machine of its own, that does what it is told to.
type app struct {
	g              *instance
	name, agent    string
	address        string
	id, redirect   string
	resource       string
	access, refreh string
}

const (
	appVerifier = "a-verifier-of-at-least-forty-three-characters-x"
	formType    = "application/x-www-form-urlencoded"
)

// apps numbers the addresses of the apps.
var apps = 0

func (g *instance) app(name, agent string) *app {
	apps++
	return &app{g: g, name: name, agent: agent, address: fmt.Sprintf("198.51.%d.7", apps), redirect: "http://127.0.0.1:7777/cb", resource: g.url + "/mcp"}
}

// send sends a request as the app does.
func (a *app) send(method, path, body string, headers ...string) *http.Response {
	a.g.t.Helper()
	return a.g.call(method, path, body, append([]string{"Authorization", "", "User-Agent", a.agent, "X-Forwarded-For", a.address}, headers...)...)
}

// call calls the server, with a token unless it is empty.
func (a *app) call(token string, want int, headers ...string) string {
	a.g.t.Helper()
	if token != "" {
		headers = append(headers, "Authorization", "Bearer "+token)
	}
	return status(a.g.t, a.send("POST", "/mcp", toolCall, append(headers, "Content-Type", "application/json")...), want)
}

// discovers reads what a client reads after a 401.
func (a *app) discovers() {
	a.g.t.Helper()
	status(a.g.t, a.send("GET", "/.well-known/oauth-protected-resource/mcp", ""), 200)
	status(a.g.t, a.send("GET", "/.well-known/oauth-authorization-server", ""), 200)
}

// registers registers, with members that replace the usual ones; nil removes one.
func (a *app) registers(want int, members oauthtest.Object) string {
	a.g.t.Helper()
	metadata := oauthtest.Object{"client_name": a.name, "redirect_uris": []string{a.redirect}, "token_endpoint_auth_method": "none"}
	for name, value := range members {
		oauthtest.With(metadata, name, value)
	}
	text, _ := json.Marshal(metadata)
	answer := status(a.g.t, a.send("POST", "/api/oauth/per-user/register", string(text), "Content-Type", "application/json"), want)
	a.id = member(answer, "client_id")
	return answer
}

// member returns a text of a JSON object.
func member(text, name string) string {
	var object map[string]any
	_ = json.Unmarshal([]byte(text), &object)
	value, _ := object[name].(string)
	return value
}

// link is the authorization request, with parameters that replace the usual ones.
func (a *app) link(parameters ...string) string {
	challenge := sha256.Sum256([]byte(appVerifier))
	query := url.Values{
		"response_type": {"code"}, "client_id": {a.id}, "redirect_uri": {a.redirect}, "state": {"state-canary"}, "resource": {a.resource},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}
	for i := 0; i < len(parameters); i += 2 {
		if query.Set(parameters[i], parameters[i+1]); parameters[i+1] == "" {
			query.Del(parameters[i])
		}
	}
	return a.g.url + "/api/oauth/per-user/authorize?" + query.Encode()
}

// user is the person who uses the app, on the same machine.
func (a *app) user(name string) *person {
	p := a.g.person(name)
	p.address = a.address
	p.agent = "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"
	return p
}

// opens opens the sign-in page.
func (a *app) opens(p *person, parameters ...string) *oauthtest.Page {
	a.g.t.Helper()
	return p.visit(a.link(parameters...))
}

// signsIn has somebody sign in with their key.
func (a *app) signsIn(p *person) *oauthtest.Page {
	a.g.t.Helper()
	return p.browser.Submit(a.g.t, a.opens(p), "/api/oauth/per-user/consent/vk", url.Values{"vk": {keyOf(p.name)}})
}

// approves has somebody sign in and approve, and returns the code.
func (a *app) approves(p *person) string {
	a.g.t.Helper()
	done := p.browser.Submit(a.g.t, a.signsIn(p), "/api/oauth/per-user/consent/submit", url.Values{"decision": {"approve"}})
	if done.Leaving == nil {
		a.g.t.Fatalf("status %d, want a redirect to the client: %s", done.Status, done.Text())
	}
	return done.Leaving.Query().Get("code")
}

// token sends a request to the token endpoint.
func (a *app) token(want int, parameters ...string) string {
	a.g.t.Helper()
	form := url.Values{"client_id": {a.id}}
	for i := 0; i < len(parameters); i += 2 {
		form.Set(parameters[i], parameters[i+1])
	}
	answer := status(a.g.t, a.send("POST", "/api/oauth/per-user/token", form.Encode(), "Content-Type", formType), want)
	if want == http.StatusOK {
		a.access, a.refreh = member(answer, "access_token"), member(answer, "refresh_token")
	}
	return answer
}

func (a *app) redeems(want int, code string) string {
	a.g.t.Helper()
	return a.token(want, "grant_type", "authorization_code", "code", code, "code_verifier", appVerifier, "redirect_uri", a.redirect, "resource", a.resource)
}

func (a *app) refreshes(want int, token string) string {
	a.g.t.Helper()
	return a.token(want, "grant_type", "refresh_token", "refresh_token", token)
}

// completes does everything up to the tokens.
func (a *app) completes(p *person) {
	a.g.t.Helper()
	a.call("", http.StatusUnauthorized)
	a.discovers()
	a.registers(http.StatusCreated, nil)
	a.redeems(http.StatusOK, a.approves(p))
}

// explained returns why, as if it were asked after a while.
func (g *instance) explained(q trace.Query, after time.Duration) *faults.Answer {
	g.t.Helper()
	recorder := g.state().Traces
	all, err := recorder.Find(context.Background(), trace.Query{})
	if err != nil {
		g.t.Fatal(err)
	}
	for _, t := range all {
		if q.Matches(t) {
			return faults.Explain(&faults.Case{Trace: t, Earlier: trace.Before(t, all), Now: time.Now().Add(after)}, q.Reference)
		}
	}
	g.t.Fatalf("nothing is known of %+v", q)
	return nil
}

// expires has the access token be worth nothing any more.
func (a *app) expires() {
	a.g.t.Helper()
	state, hash := a.g.state(), storage.HashOf(a.access)
	if ended, err := state.store.RevokeAccessToken(a.g.t.Context(), hash, a.g.url, a.id, time.Now()); err != nil || !ended {
		a.g.t.Fatalf("ended %t, %v", ended, err)
	}
	state.tokens.Revoked(hash)
}

// told is an answer as text.
func told(a *faults.Answer) string {
	lines := []string{a.What, "At fault: " + string(a.AtFault) + " (" + a.Fault + ")", "Why: " + a.Why, "Fix: " + a.Fix}
	for _, l := range a.Evidence {
		lines = append(lines, fmt.Sprintf("  %-5t %-8s %s x%d", l.Shows, l.Join, l.Text, l.Times))
	}
	for _, also := range a.Also {
		lines = append(lines, "Also: "+also.What)
	}
	return strings.Join(append(lines, a.Missing...), "\n") + "\n" + a.Sure
}

var referencePattern = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

// reference is what an error page shows.
func reference(p *oauthtest.Page) string {
	return referencePattern.FindString(p.Text())
}

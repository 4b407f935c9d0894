//go:build integration && linux

package cluster

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/history"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

const (
	redirectURI   = "http://127.0.0.1:9/callback"
	tokenEndpoint = "/api/oauth/per-user/token"
)

// person is one of the people, with a browser and a client.
type person struct {
	cluster *cluster
	// name is that of a key that was made for them.
	name string
	key  string
	// account is what they have at the provider.
	account string
	browser *harness.Browser
	// client is what theirs sends requests with.
	client *http.Client
}

// person returns the n-th, whose client and browser use the balancer.
func (c *cluster) person(t testing.TB, n int) *person {
	n %= len(c.people)
	return c.newPerson(t, c.people[n], fmt.Sprintf("account%d", n))
}

func (c *cluster) newPerson(t testing.TB, key, account string) *person {
	p := &person{cluster: c, key: key, account: account, browser: harness.NewBrowser(t), client: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{}}}
	p.browser.Client.Transport = withAccount{http.DefaultTransport, account}
	return p
}

// at has the person's client and browser use one instance.
func (p *person) at(i *instance) *person {
	p.client = i.HTTP
	p.browser.Client.Transport = withAccount{passing{i.HTTP.Transport, p.cluster.URL}, p.account}
	return p
}

// passing sends what is for one site elsewhere.
type passing struct {
	to   http.RoundTripper
	site string
}

func (p passing) RoundTrip(r *http.Request) (*http.Response, error) {
	if "http://"+r.URL.Host == p.site {
		return p.to.RoundTrip(r)
	}
	return http.DefaultTransport.RoundTrip(r)
}

// withAccount signs a browser in to an account at the provider.
type withAccount struct {
	next    http.RoundTripper
	account string
}

func (w withAccount) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set(oauthtest.AccountHeader, w.account)
	return w.next.RoundTrip(r)
}

// register registers a client.
func (p *person) register(t testing.TB) *harness.Client {
	return (&harness.Gateway{URL: p.cluster.URL, HTTP: p.client}).Register(t, redirectURI)
}

// approve signs in, connects the account on the way if the server has one, and
// returns the code.
func (p *person) approve(t testing.TB, client *harness.Client, path string) string {
	page := p.browser.Identify(t, p.browser.Open(t, client.Link(p.cluster.URL+path)), harness.Person{VirtualKey: p.key})
	if page.HasButton("Connect Notes") {
		page = p.browser.Connect(t, page, "Notes")
	}
	page = p.browser.Press(t, page, harness.ApproveButton, nil)
	if page.Leaving == nil || page.Leaving.Query().Get("code") == "" {
		t.Fatalf("sign-in ends on %s (%d): %s", page.URL.Path, page.Status, page.Text())
	}
	return page.Leaving.Query().Get("code")
}

// family is a grant, as the client sees it.
type family struct {
	name, path string
	client     *harness.Client
	code       string
	refresh    string
	access     string
}

// begin signs in up to the code.
func (p *person) begin(t testing.TB, path string) *family {
	client := p.register(t)
	return &family{name: rand.Text(), path: path, client: client, code: p.approve(t, client, path)}
}

// signIn signs in, and fails the test if that does not work.
func (p *person) signIn(t testing.TB, path string) *family {
	t.Helper()
	f := p.begin(t, path)
	if o := p.redeem(f); o.Outcome != history.Done {
		t.Fatalf("a fresh code: %s", o.Outcome)
	}
	return f
}

// redeem sends the code, and keeps what comes.
func (p *person) redeem(f *family) history.Operation {
	return p.exchange(f, history.Operation{Kind: history.Redeem}, url.Values{
		"grant_type": {"authorization_code"}, "code": {f.code}, "code_verifier": {f.client.Verifier},
		"redirect_uri": {redirectURI}, "resource": {p.cluster.URL + f.path},
	})
}

// rotate sends the refresh token, and keeps what comes.
func (p *person) rotate(f *family) history.Operation {
	return p.present(f, f.refresh)
}

func (p *person) present(f *family, token string) history.Operation {
	return p.exchange(f, history.Operation{Kind: history.Refresh, Token: token}, url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {token},
	})
}

func (p *person) exchange(f *family, o history.Operation, form url.Values) history.Operation {
	var got harness.Tokens
	o.Family, o.Instance = f.name, p.instance()
	o = p.cluster.history.Record(o, func(o *history.Operation) { o.Outcome, o.Next, got = p.token(f.client.ID, form) })
	if o.Outcome == history.Done {
		f.refresh, f.access = got.RefreshToken, got.AccessToken
	}
	return o
}

// token asks the token endpoint.
func (p *person) token(clientID string, form url.Values) (history.Outcome, string, harness.Tokens) {
	var answer struct {
		harness.Tokens
		Error string `json:"error"`
	}
	form.Set("client_id", clientID)
	resp, err := p.client.PostForm(p.cluster.URL+tokenEndpoint, form)
	if err != nil {
		return history.Lost, "", answer.Tokens
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || json.Unmarshal(body, &answer) != nil {
		return history.Lost, "", answer.Tokens
	}
	switch {
	case resp.StatusCode == http.StatusOK:
		return history.Done, answer.RefreshToken, answer.Tokens
	case answer.Error == "invalid_grant":
		return history.Refused, "", answer.Tokens
	}
	return history.Lost, "", answer.Tokens
}

func (p *person) instance() string {
	for _, i := range p.cluster.instances {
		if i.HTTP == p.client {
			return i.name
		}
	}
	return "balancer"
}

const ping = `{"jsonrpc":"2.0","id":1,"method":"ping"}`

// call calls the MCP server, and returns the status and what it says.
func (p *person) call(f *family) (int, string) {
	req, err := http.NewRequest(http.MethodPost, p.cluster.URL+f.path, strings.NewReader(ping))
	if err != nil {
		return 0, err.Error()
	}
	req.Header.Set("Authorization", "Bearer "+f.access)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	resp, err := p.client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(body)
}

// try does what fails a test, and returns why it would have failed.
func try(t testing.TB, do func(testing.TB)) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case failure:
			err = r
		default:
			panic(r)
		}
	}()
	do(patient{t})
	return nil
}

// failure is why a test would have failed.
type failure string

func (f failure) Error() string { return string(f) }

// patient is a test that does not fail.
type patient struct{ testing.TB }

func (patient) Helper()                         {}
func (patient) Fatal(args ...any)               { panic(failure(fmt.Sprint(args...))) }
func (patient) Fatalf(text string, args ...any) { panic(failure(fmt.Sprintf(text, args...))) }

// registration is the body of one.
func registration() io.Reader {
	return strings.NewReader(`{"redirect_uris":["` + redirectURI + `"],"token_endpoint_auth_method":"none"}`)
}

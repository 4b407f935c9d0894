//go:build integration

package integration_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/trial"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// What a kill can interrupt.
const (
	signingIn     = "sign-in"
	connecting    = "connect"
	approving     = "approval"
	redeeming     = "code"
	refreshing    = "refresh"
	calling       = "call"
	usingAccount  = "refresh at the provider"
	disconnecting = "disconnect"
	revoking      = "revocation"
)

// certainty is what a visitor knows of their connection.
type certainty int

const (
	no certainty = iota
	maybe
	yes
)

// visitor is a person with a browser and an application. They remember what was
// acknowledged to them, and what they sent without an answer.
type visitor struct {
	*killing
	person  harness.Person
	account string // at the provider
	browser *harness.Browser
	rand    *rand.Rand
	visits

	doing       string
	interrupted string

	client    *harness.Client
	tokens    *harness.Tokens // nil if they have none
	connected certainty
	// older are the refresh tokens of this grant that were replaced.
	older []string
	// ended are access tokens that must not work any more.
	ended []string
	// disconnected are refresh tokens of the provider.
	disconnected []string

	code   *url.URL // that was sent
	asked  bool     // for a refresh with the newest refresh token
	ending bool     // a revocation was sent
}

// visits count what was acknowledged.
type visits struct {
	signIns, refreshes, calls, disconnects, revocations int
	repeated, redeemed, codesLost, doubtful             int
}

func (a *visits) add(b visits) {
	a.signIns += b.signIns
	a.refreshes += b.refreshes
	a.calls += b.calls
	a.disconnects += b.disconnects
	a.revocations += b.revocations
	a.repeated += b.repeated
	a.redeemed += b.redeemed
	a.codesLost += b.codesLost
	a.doubtful += b.doubtful
}

func newVisitor(t *testing.T, k *killing, account, key string, seed uint64) *visitor {
	v := &visitor{
		killing: k, account: account, person: harness.Person{VirtualKey: key},
		browser: harness.NewBrowser(t), rand: rand.New(rand.NewPCG(seed, 1)),
	}
	v.browser.Client.Transport = asAccount{account, &http.Transport{}}
	return v
}

// asAccount is a browser that is signed in at the provider.
type asAccount struct {
	account string
	http.RoundTripper
}

func (a asAccount) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set(oauthtest.AccountHeader, a.account)
	return a.RoundTripper.RoundTrip(r)
}

// visit goes on until Caddy is killed. Until then nothing fails.
func (v *visitor) visit(t *testing.T, killed <-chan struct{}) {
	v.interrupted = ""
	for {
		select {
		case <-killed:
			return
		default:
		}
		err := trial.Try(t, v.choose())
		if err == nil {
			continue
		}
		select {
		case <-killed:
			v.interrupted = v.doing
		default:
			t.Errorf("%s: %s: %v", v.account, v.doing, err)
		}
		return
	}
}

func (v *visitor) choose() func(testing.TB) {
	if v.tokens == nil || v.connected != yes {
		return v.signIn
	}
	switch n := v.rand.IntN(20); {
	case n < 4:
		return v.signIn
	case n < 10:
		return v.refresh
	case n < 18:
		return v.call
	case n < 19:
		return v.disconnect
	default:
		return v.revoke
	}
}

func (v *visitor) signIn(t testing.TB) {
	v.doing = signingIn
	client := v.Register(t, "http://127.0.0.1:9/callback")
	services := v.browser.Identify(t, v.browser.Open(t, client.Link(v.URL+"/notes")), v.person)
	if v.connected != yes {
		v.doing = connecting
		services = v.browser.Connect(t, services, "Notes")
		services.MustShow(t, "Connected")
	}
	v.doing = approving
	if v.connected != yes {
		v.connected = maybe
	}
	page := v.browser.Press(t, services, harness.ApproveButton, nil)
	if page.Leaving == nil {
		t.Fatalf("the sign-in ends on %s (%d): %s", page.URL.Path, page.Status, page.Text())
	}
	v.connected = yes
	v.doing = redeeming
	v.client, v.code, v.tokens, v.older = client, page.Leaving, nil, nil
	v.redeem(t)
	v.signIns++
}

func (v *visitor) redeem(t testing.TB) {
	tokens := v.client.Redeem(t, v.code, v.URL+"/notes")
	v.tokens, v.code = &tokens, nil
}

func (v *visitor) refresh(t testing.TB) {
	v.doing, v.asked = refreshing, true
	tokens := v.client.Refresh(t, v.tokens.RefreshToken)
	v.older = append(v.older, v.tokens.RefreshToken)
	v.tokens, v.asked = &tokens, false
	v.refreshes++
}

func (v *visitor) call(t testing.TB) {
	v.doing = calling
	v.mustWork(t)
}

func (v *visitor) mustWork(t testing.TB) {
	switch res, works := v.use(t); {
	case works:
		v.calls++
	case v.upstream.inDoubt(v.account, res.Response): // after the last kill
		v.doubtful++
		v.connected, v.tokens = no, nil
	default:
		t.Fatalf("a call: %s: %s", res.Status, res.Text)
	}
}

func (v *visitor) use(t testing.TB) (res harness.Response, works bool) {
	res = v.Post(t, "/notes", v.tokens.AccessToken, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read"}}`)
	return res, res.StatusCode == http.StatusOK && strings.Contains(res.Text, fmt.Sprintf(`"account":%q`, v.account))
}

func (v *visitor) disconnect(t testing.TB) {
	if v.call(t); v.connected != yes {
		return
	}
	refresh := v.upstream.refreshToken(v.account)
	v.doing, v.connected = disconnecting, maybe
	account := v.browser.Open(t, v.URL+"/oauth/account")
	if account.HasButton(harness.KeyButton) { // a browser that signed in before this server knew it
		account = v.browser.Identify(t, account, v.person)
	}
	v.browser.Submit(t, account, disconnectPath, nil).MustShow(t, "disconnected")
	v.connected = no
	v.disconnected = append(v.disconnected, refresh)
	v.disconnects++
}

func (v *visitor) revoke(t testing.TB) {
	v.doing, v.ending = revoking, true
	res, err := http.PostForm(v.URL+"/api/oauth/per-user/revoke", url.Values{"client_id": {v.client.ID}, "token": {v.tokens.RefreshToken}})
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("revocation: %s", res.Status)
	}
	v.ending = false
	v.end()
	v.revocations++
}

// end drops tokens that must not work any more.
func (v *visitor) end() {
	v.ended = append(v.ended, v.tokens.AccessToken)
	v.tokens, v.older = nil, nil
}

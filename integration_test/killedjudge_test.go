//go:build integration

package integration_test

import (
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/trial"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// judge looks, after a restart, whether all holds that was acknowledged.
func (v *visitor) judge(t *testing.T) {
	t.Helper()
	looks := []func(testing.TB){v.judgeCode, v.judgeRefresh, v.judgeRevocation, v.judgeEnded, v.judgeSpent}
	if v.rand.IntN(2) == 0 || v.connected == maybe { // else the next calls tell
		looks = append(looks, v.judgeCall)
	}
	for _, look := range looks {
		if err := trial.Try(t, look); err != nil {
			t.Errorf("%s, interrupted in %q: %v", v.account, v.interrupted, err)
		}
	}
}

// judgeCode: a code whose answer got lost is good still, or was used; never both.
func (v *visitor) judgeCode(t testing.TB) {
	if v.code == nil {
		return
	}
	sent := v.code
	if err := trial.Try(t, v.redeem); err != nil {
		v.code = nil
		v.codesLost++
		if !strings.Contains(err.Error(), "invalid_grant") {
			t.Errorf("a code that was sent before the kill: %v", err)
		}
		return
	}
	v.redeemed++
	if v.rand.IntN(2) == 0 {
		return
	}
	v.code = sent
	if err := trial.Try(t, v.redeem); err == nil {
		t.Error("a code was spent twice")
	}
	v.code = nil
	v.end()
}

// judgeRefresh: who lost the answer to a refresh gets one, and the same again.
func (v *visitor) judgeRefresh(t testing.TB) {
	if !v.asked {
		return
	}
	sent := v.tokens.RefreshToken
	v.refresh(t)
	v.repeated++
	if again := v.client.Refresh(t, sent); again.RefreshToken != v.tokens.RefreshToken {
		t.Error("one refresh token has two successors")
	}
}

// judgeRevocation: a revocation whose answer got lost can be sent again.
func (v *visitor) judgeRevocation(t testing.TB) {
	if v.ending {
		v.revoke(t)
	}
}

// judgeCall: an access token that was acknowledged is accepted, and a connection
// that was acknowledged works; one that was ended does not. A client that calls
// without a connection is told to begin anew, and its grant ends.
func (v *visitor) judgeCall(t testing.TB) {
	if v.tokens == nil {
		return
	}
	res, works := v.use(t)
	switch {
	case works && v.connected == no:
		t.Error("a disconnected account works")
	case works:
		v.connected = yes
		return
	case v.connected == yes && v.upstream.inDoubt(v.account, res.Response):
		v.doubtful++
	case v.connected == yes:
		t.Errorf("the access token is refused, or the connection is lost: %s: %s", res.Status, res.Text)
	}
	v.connected, v.tokens = no, nil
}

// judgeEnded: what was revoked does not come back.
func (v *visitor) judgeEnded(t testing.TB) {
	for _, token := range v.ended[max(0, len(v.ended)-3):] {
		if res := v.Post(t, "/notes", token, `{"jsonrpc":"2.0","id":1,"method":"ping"}`); res.StatusCode != http.StatusUnauthorized {
			t.Errorf("an access token that was revoked: %s", res.Status)
		}
	}
}

// judgeSpent: a refresh token that was replaced twice is refused, and ends its grant.
func (v *visitor) judgeSpent(t testing.TB) {
	if len(v.older) < 2 || v.tokens == nil || v.rand.IntN(8) > 0 {
		return
	}
	err := trial.Try(t, func(t testing.TB) { v.client.Refresh(t, v.older[0]) })
	if err == nil || !strings.Contains(err.Error(), "invalid_grant") {
		t.Errorf("a refresh token that was spent: %v", err)
	}
	v.end()
}

// accountLife is how long the provider's access tokens live. They are renewed when a
// fifth of it is left.
const accountLife = 10 * time.Second

// upstreamState is what the provider and its MCP server saw of each account.
type upstreamState struct {
	provider *oauthtest.Provider

	mu       sync.Mutex
	accounts map[string]*upstreamAccount
}

type upstreamAccount struct {
	latest   string // access token that arrived last
	since    time.Time
	asked    bool // the provider was asked for a successor, which did not arrive
	underWay int  // requests for one
}

func watchUpstream(p *oauthtest.Provider, s *oauthtest.MCPServer) *upstreamState {
	u := &upstreamState{provider: p, accounts: map[string]*upstreamAccount{}}
	s.Watch = func(_ *http.Request, token string) { u.arrived(token) }
	p.Arrived = func(form url.Values) {
		if form.Get("grant_type") != "refresh_token" {
			return
		}
		name := p.AccountOf(form.Get("refresh_token"))
		u.change(name, func(a *upstreamAccount) { a.asked = true; a.underWay++ })
		time.Sleep(20*time.Millisecond + rand.N(500*time.Millisecond)) // as providers do
		u.change(name, func(a *upstreamAccount) { a.underWay-- })
	}
	return u
}

func (u *upstreamState) change(name string, change func(*upstreamAccount)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.accounts[name] == nil {
		u.accounts[name] = new(upstreamAccount)
	}
	change(u.accounts[name])
}

func (u *upstreamState) arrived(token string) {
	name := u.provider.AccountOf(token)
	u.change(name, func(a *upstreamAccount) {
		if a.latest != token {
			a.latest, a.since, a.asked = token, time.Now(), false
		}
	})
}

// underWay returns for how many accounts a refresh is on its way.
func (u *upstreamState) underWay() (n int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, a := range u.accounts {
		n += a.underWay
	}
	return n
}

// refreshToken returns the one that came with the access token that arrived last.
func (u *upstreamState) refreshToken(name string) (token string) {
	u.change(name, func(a *upstreamAccount) { token = "rt-" + strings.TrimPrefix(a.latest, "at-") })
	return token
}

// inDoubt: the access token is at its end, and a successor was asked for and did not
// arrive, so that the provider may have replaced the refresh token; or a Caddy that was
// killed was about to ask, and the next one waits until it can be sure that nobody does.
func (u *upstreamState) inDoubt(name string, answer *http.Response) (is bool) {
	u.change(name, func(a *upstreamAccount) {
		is = (a.asked || answer.StatusCode == http.StatusServiceUnavailable) && time.Since(a.since) > accountLife-time.Second
	})
	return is
}

func replaceSchema(query, schema string) string {
	return strings.ReplaceAll(query, "{}", pgx.Identifier{schema}.Sanitize()+".")
}

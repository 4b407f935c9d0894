//go:build integration

package integration_test

import (
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// use opens a session for somebody who connects whatever a client's link asks
// them to, and counts the links.
func (w *own) use(t *testing.T, who *resident, path string, links *int) *mcp.ClientSession {
	t.Helper()
	token := w.signIn(t, who, path).AccessToken
	return connect(t, with(token, w.URL+path), opensURLs(func(link string) {
		*links++
		who.connect(t, link, titles[path])
	}), "2026-07-28")
}

// until calls until done accepts the answer.
func until(t *testing.T, session *mcp.ClientSession, done func(harness.WhoAmI, error) bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		who, result, err := callWhoAmI(t, session)
		if err == nil && result.IsError {
			t.Fatalf("%+v", result)
		}
		if done(who, err) {
			return
		}
	}
	t.Fatal("it does not happen")
}

// The provider starts again and has forgotten its clients, tokens and keys.
// Everybody is asked to connect again, once; the gateway registers again, once
// for each server.
func TestProviderForgetsUs(t *testing.T) {
	w := runOwn(t, time.Minute, "")
	people := residents(t)
	links := make([]int, len(people))
	sessions := make([]*mcp.ClientSession, len(people))
	for i, who := range people {
		sessions[i] = w.use(t, who, "/issues", &links[i])
		mustBe(t, sessions[i], who.account)
	}
	w.provider.Restart(t)
	for range 2 {
		for i, who := range people {
			mustBe(t, sessions[i], who.account)
			if links[i] != 1 {
				t.Errorf("%s was shown %d links, want one", who.user, links[i])
			}
		}
	}
	if counts := w.provider.Counts(t); counts.Registrations != 1 || counts.Codes != len(people) {
		t.Errorf("after it forgot: %+v", counts)
	}
}

// While the provider is out of order, calls go on until the token expires. Then
// they fail; nobody is asked to connect, which would not help. Once the
// provider is back they succeed with the same connection.
func TestProviderOutage(t *testing.T) {
	w := runOwn(t, 4*time.Second, "")
	who, links := residents(t)[0], 0
	session := w.use(t, who, "/notes", &links)
	w.provider.Outage(t)
	mustBe(t, session, who.account)
	until(t, session, func(_ harness.WhoAmI, err error) bool { return err != nil })
	w.provider.Recover(t)
	until(t, session, func(got harness.WhoAmI, err error) bool { return err == nil && got.Account == who.account })
	if counts := w.provider.Counts(t); links != 0 || counts.Codes != 1 || counts.Refreshes == 0 {
		t.Errorf("%d links, %+v", links, counts)
	}
}

// Somebody takes the gateway's access back at the provider. The next call that
// the server refuses asks the person to connect again.
func TestRevokedAtProvider(t *testing.T) {
	w := runOwn(t, time.Minute, "")
	who, links := residents(t)[1], 0
	session := w.use(t, who, "/issues", &links)
	mustBe(t, session, who.account)
	w.provider.RevokeAll(t)
	mustBe(t, session, who.account)
	if links != 1 {
		t.Errorf("the person was shown %d links, want one", links)
	}
	if counts := w.provider.Counts(t); counts.Codes != 2 || counts.Refusals != 1 || counts.Refreshes != 0 {
		t.Errorf("after it was revoked: %+v", counts)
	}
}

// Who disconnects is disconnected at the provider too, and from then on the
// server sees nothing of them. Others notice nothing.
func TestDisconnect(t *testing.T) {
	w := runOwn(t, time.Minute, "")
	people := residents(t)
	sessions := map[*resident]*mcp.ClientSession{}
	for _, who := range people[:2] {
		token := w.signIn(t, who, "/issues").AccessToken
		sessions[who] = connect(t, with(token, w.URL+"/issues"), nil, "2025-11-25")
		mustBe(t, sessions[who], who.account)
	}
	server := w.servers["/issues"]
	last := server.Seen()[len(server.Seen())-1]
	gone, stays := people[1], people[0]
	if last.Account != gone.account {
		t.Fatalf("the last call came as %q", last.Account)
	}

	gone.disconnect(t, w.URL)
	oauthtest.Eventually(t, "the provider is not told", func() bool { return w.provider.Counts(t).Revocations > 0 })
	if account, err := server.WhoseToken(last.Token); err == nil {
		t.Errorf("the token still works, as %q's", account)
	}
	before := len(server.Seen())
	if _, result, err := callWhoAmI(t, sessions[gone]); err == nil && !result.IsError {
		t.Errorf("a call without a connection: %+v", result)
	}
	for _, seen := range server.Seen()[before:] {
		t.Errorf("the server saw a %s by %q", seen.Method, seen.Header.Get("X-MCP-User"))
	}
	mustBe(t, sessions[stays], stays.account)
}

package server

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// lifeCycle is a model of what one approval yields, beside the real thing:
// one code, then a family of refresh tokens with their access tokens.
type lifeCycle struct {
	*testServer
	code             string
	codeEnds         time.Time
	claimed, burned  bool
	revoked          bool
	ends, absolute   time.Time // of the grant
	refreshes        []modelToken
	accesses         []modelToken
	lastRefreshReply reply
}

type modelToken struct {
	secret    string
	ends      time.Time
	rotatedAt time.Time
	revoked   bool
}

func newLifeCycle(t *testing.T) *lifeCycle {
	m := &lifeCycle{testServer: newTestServer(t)}
	m.code = m.testServer.code()
	m.codeEnds = m.clock.Now().Add(time.Minute)
	m.ends, m.absolute = m.codeEnds, m.clock.Now().Add(90*24*time.Hour)
	return m
}

func (m *lifeCycle) over() bool { return m.revoked || !m.clock.Now().Before(m.ends) }

// issued adds the tokens of a response.
func (m *lifeCycle) issued(r reply) {
	m.ends = earliest(m.absolute, m.clock.Now().Add(30*24*time.Hour))
	m.refreshes = append(m.refreshes, modelToken{secret: r.Refresh, ends: m.ends})
	m.accesses = append(m.accesses, modelToken{secret: r.Access, ends: earliest(m.ends, m.clock.Now().Add(time.Hour))})
}

func (m *lifeCycle) expect(t *rapid.T, got reply, ok bool) {
	if got.status == http.StatusOK != ok || !ok && got.Error != "invalid_grant" {
		t.Fatalf("answer = %d %s, want ok %v", got.status, got.body, ok)
	}
}

func (m *lifeCycle) redeemRight(t *rapid.T) {
	got := m.redeem("app", m.code)
	switch {
	case m.over() || m.burned:
		m.expect(t, got, false)
	case m.claimed:
		m.expect(t, got, false)
		m.revoked = true
	default:
		m.expect(t, got, m.clock.Now().Before(m.codeEnds))
		m.claimed = true
		m.issued(got)
	}
}

func (m *lifeCycle) redeemWithWrongVerifier(t *rapid.T) {
	m.expect(t, m.redeem("app", m.code, "code_verifier", strings.Repeat("w", 43)), false)
	if !m.over() && !m.claimed {
		m.burned = true
	}
}

func (m *lifeCycle) redeemAsAnother(t *rapid.T) { m.expect(t, m.redeem("foreign", m.code), false) }

func (m *lifeCycle) refreshAny(t *rapid.T) {
	if len(m.refreshes) == 0 {
		t.Skip("no tokens yet")
	}
	i := rapid.IntRange(max(0, len(m.refreshes)-3), len(m.refreshes)-1).Draw(t, "token")
	token := &m.refreshes[i]
	got := m.refresh("app", token.secret)
	switch now := m.clock.Now(); {
	case m.over() || !now.Before(token.ends):
		m.expect(t, got, false)
	case i == len(m.refreshes)-1:
		m.expect(t, got, true)
		token.rotatedAt = now
		m.lastRefreshReply = got
		m.issued(got)
	case i == len(m.refreshes)-2 && now.Sub(token.rotatedAt) <= time.Minute:
		m.expect(t, got, true)
		if got.Refresh != m.lastRefreshReply.Refresh || got.Access != m.lastRefreshReply.Access {
			t.Fatal("a second successor")
		}
	default:
		m.expect(t, got, false)
		m.revoked = true
	}
}

func (m *lifeCycle) refreshAsAnother(t *rapid.T) {
	if len(m.refreshes) == 0 {
		t.Skip("no tokens yet")
	}
	m.expect(t, m.refresh("foreign", m.refreshes[len(m.refreshes)-1].secret), false)
}

func (m *lifeCycle) revokeAccess(t *rapid.T) {
	if len(m.accesses) == 0 {
		t.Skip("no tokens yet")
	}
	token := &m.accesses[rapid.IntRange(0, len(m.accesses)-1).Draw(t, "token")]
	client := rapid.SampledFrom([]string{"app", "foreign"}).Draw(t, "client")
	m.want(m.revoke(client, token.secret), http.StatusOK, "")
	token.revoked = token.revoked || client == "app"
}

func (m *lifeCycle) revokeFamily(t *rapid.T) {
	if len(m.refreshes) == 0 {
		t.Skip("no tokens yet")
	}
	token := &m.refreshes[rapid.IntRange(0, len(m.refreshes)-1).Draw(t, "token")]
	client := rapid.SampledFrom([]string{"app", "foreign"}).Draw(t, "client")
	m.want(m.revoke(client, token.secret), http.StatusOK, "")
	if client == "app" && m.clock.Now().Before(token.ends) {
		m.revoked = true
	}
}

func (m *lifeCycle) wait(t *rapid.T) {
	m.clock.Advance(rapid.SampledFrom([]time.Duration{
		time.Second, 30 * time.Second, time.Minute, time.Hour, 24 * time.Hour, 20 * 24 * time.Hour, 31 * 24 * time.Hour,
	}).Draw(t, "time"))
}

// check compares what works with what should.
func (m *lifeCycle) check(t *rapid.T) {
	for i, token := range m.accesses {
		want := !m.revoked && !token.revoked && m.clock.Now().Before(token.ends)
		if i < len(m.accesses)-8 { // the oldest of many may have been dropped
			continue
		}
		if got := m.live(token.secret); got != want {
			t.Fatalf("access token %d works: %v, want %v", i, got, want)
		}
	}
}

func TestLifeCycleOfAGrant_B05_B08_D01_D03_D08_D10_D11_L05_L06(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := newLifeCycle(t)
		rt.Repeat(map[string]func(*rapid.T){
			"redeem": m.redeemRight, "redeem with a wrong verifier": m.redeemWithWrongVerifier, "redeem as another": m.redeemAsAnother,
			"refresh": m.refreshAny, "refresh again": m.refreshAny, "refresh as another": m.refreshAsAnother,
			"revoke an access token": m.revokeAccess, "revoke the family": m.revokeFamily, "wait": m.wait, "": m.check,
		})
	})
}

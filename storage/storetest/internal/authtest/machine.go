package authtest

import (
	"fmt"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

var modelTests = map[string]func(*fixture){
	"any sequence of calls answers as the model": func(f *fixture) {
		run := 0
		rapid.Check(f.T, func(t *rapid.T) {
			run++ // one store for all runs: each has names of its own
			m := &machine{fixture: fixture{f.Clone()}, t: t, model: newModel(), run: fmt.Sprintf("run %d ", run)}
			t.Repeat(map[string]func(*rapid.T){
				"wait":         m.wait,
				"register":     m.registerClient,
				"deleteClient": m.deleteClient,
				"saveFlow":     m.saveFlow,
				"submit":       m.submitFlow,
				"claim":        m.claimCode,
				"signIn":       m.signIn,
				"rotate":       m.rotateToken,
				"rotate more":  m.rotateToken,
				"rotate again": m.rotateToken,
				"revokeGrant":  m.revokeGrant,
				"revokeAccess": m.revokeAccess,
				"sweep":        m.sweep,
				"":             m.compare,
			})
		})
	},
}

// machine makes the same calls on the store and on the model.
type machine struct {
	fixture
	t     *rapid.T
	model *model
	run   string
	last  int
}

// fresh names something new.
func (m *machine) fresh(kind string) string {
	m.last++
	return fmt.Sprint(m.run, kind, m.last)
}

// same compares a verdict with the model's. A record that ended may be gone,
// whatever else could be said about it.
func (m *machine) same(t *rapid.T, got storage.Verdict, err error, want storage.Verdict, ended bool) {
	if got == storage.Unknown {
		got = gone
	}
	if err != nil || got != want && !(ended && got == gone) {
		t.Fatalf("verdict %v, %v; want %v", got, err, want)
	}
}

func (m *machine) wait(t *rapid.T) {
	m.After(time.Duration(rapid.SampledFrom([]int64{
		1, int64(time.Second), int64(suite.Grace), int64(5 * time.Minute), int64(time.Hour), int64(24 * time.Hour), int64(29 * 24 * time.Hour),
	}).Draw(t, "wait")))
}

func (m *machine) clientID(t *rapid.T) string {
	return m.run + rapid.SampledFrom([]string{"a", "b"}).Draw(t, "client")
}

func (m *machine) registerClient(t *rapid.T) {
	id := m.clientID(t)
	if old := m.model.clients[id]; old != nil {
		return
	}
	c := m.Client(id)
	if err := m.Store.CreateClient(suite.Ctx(), c, storage.Unused{}); err != nil {
		t.Fatal(err)
	}
	m.model.clients[id] = &c
}

func (m *machine) deleteClient(t *rapid.T) {
	id := m.clientID(t)
	c := m.model.clients[id]
	_, err := m.Store.DeleteClient(suite.Ctx(), id, m.Now)
	if c == nil || !c.ExpiresAt.After(m.Now) {
		if err != storage.ErrNotFound {
			t.Fatalf("deleted a client that is not there: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	m.model.deleteClient(id)
}

func (m *machine) saveFlow(t *rapid.T) {
	id := m.run + rapid.SampledFrom([]string{"f1", "f2", "f3"}).Draw(t, "flow")
	m.save(t, id, rapid.SampledFrom([]storage.Identity{suite.Alice, suite.Bob, suite.AliceAnew}).Draw(t, "who"))
}

func (m *machine) save(t *rapid.T, id string, who storage.Identity) {
	flow := m.Flow(id)
	flow.Identity = who
	got, err := m.Store.SaveFlow(suite.Ctx(), flow, m.Now)
	m.same(t, got, err, m.model.saveFlow(id, flow.Identity, flow.ExpiresAt, m.Now), false)
}

func (m *machine) submitFlow(t *rapid.T) {
	sub := m.Submission(m.fresh("grant "), m.clientID(t))
	sub.FlowID = suite.One(t, m.model.flows, "flow")
	sub.Identity = rapid.SampledFrom([]storage.Identity{suite.Alice, suite.Bob, suite.AliceAnew}).Draw(t, "who")
	sub.Grant.Identity = sub.Identity
	if rapid.Bool().Draw(t, "unproved") {
		sub.Quota = &storage.Quota{Key: suite.Hash("%s", rapid.SampledFrom([]string{"here", "there"}).Draw(t, "address"))}
	}
	if rapid.IntRange(0, 9).Draw(t, "refused") == 0 {
		sub.Grant, sub.Code = nil, nil
	}
	m.submit(t, sub)
}

func (m *machine) submit(t *rapid.T, sub storage.Submission) {
	browser, before := m.fresh("browser "), suite.One(t, m.model.browser, "before")
	if sub.Grant != nil && rapid.Bool().Draw(t, "in a browser") {
		b := m.BrowserSession(browser, sub.Identity)
		b.Replaces = suite.Hash("cookie %s", before)
		sub.Browser = &b
	}
	name := ""
	if sub.Grant != nil {
		name = strings.TrimPrefix(sub.Grant.ID, "g-")
	}
	got, err := m.Store.SubmitFlow(suite.Ctx(), sub)
	m.same(t, got, err, m.model.submit(sub.FlowID, sub, name, browser, before), false)
}

func (m *machine) claimCode(t *rapid.T) {
	proof := rapid.SampledFrom([]string{suite.Challenge, suite.Challenge, suite.Challenge, "wrong"}).Draw(t, "challenge")
	m.claim(t, suite.One(t, m.model.codes, "code"), m.clientID(t), proof)
}

func (m *machine) claim(t *rapid.T, code, client, proof string) {
	access, refresh := m.fresh("access "), m.fresh("refresh ")
	c := m.fixture.Claim(code, client)
	c.Challenge = proof
	c.Issue = m.tokens("g-"+code, client, access, refresh)
	ended := m.model.codeEnded(code, m.Now)
	want := m.model.claim(code, c, access, refresh)
	got, err := m.Store.ClaimCode(suite.Ctx(), c)
	m.same(t, got.Verdict, err, want, ended)
}

// signIn goes the way that most clients go, so that what comes after it is
// reached often.
func (m *machine) signIn(t *rapid.T) {
	sub := m.Submission(m.fresh("grant "), m.clientID(t))
	m.save(t, sub.FlowID, suite.Alice)
	m.submit(t, sub)
	m.claim(t, strings.TrimPrefix(sub.Grant.ID, "g-"), sub.Grant.ClientID, suite.Challenge)
}

func (m *machine) rotateToken(t *rapid.T) {
	token := suite.One(t, m.model.refresh, "token")
	client := m.clientID(t)
	grant := ""
	if known := m.model.refresh[token]; known != nil {
		grant = known.grant
		if rapid.IntRange(0, 3).Draw(t, "foreign") > 0 {
			client = m.model.grants[grant].clientID
		}
	}
	access, refresh := m.fresh("access "), m.fresh("refresh ")
	proof := ""
	if rapid.Bool().Draw(t, "proves its grant") {
		proof = grant
	}
	r := storage.Rotation{
		GrantID: proof,
		Hash:    storage.HashOf(token), Issuer: suite.Issuer, ClientID: client, Now: m.Now,
		Grace:  rapid.SampledFrom([]time.Duration{0, suite.Grace, suite.Grace, suite.Grace}).Draw(t, "grace"),
		Issue:  m.tokens(grant, client, access, refresh),
		Replay: []byte(refresh),
	}
	ended := m.model.refreshEnded(token, m.Now)
	want := m.model.rotate(token, r, access, refresh)
	got, err := m.Store.RotateRefreshToken(suite.Ctx(), r)
	m.same(t, got.Verdict, err, want, ended)
	if want == storage.Repeated && string(got.Replay) != m.model.refresh[token].replay {
		t.Fatalf("repeated %q, the winner got %q", got.Replay, m.model.refresh[token].replay)
	}
}

// tokens is a token response with names of its own.
func (m *machine) tokens(grant, clientID, access, refresh string) storage.Issue {
	i := m.Issue("", clientID, 0)
	i.Access.Hash, i.Refresh.Hash = storage.HashOf(access), storage.HashOf(refresh)
	i.Access.GrantID, i.Refresh.GrantID = grant, grant
	return i
}

func (m *machine) revokeGrant(t *rapid.T) {
	id := suite.One(t, m.model.grants, "grant")
	if _, err := m.Store.RevokeGrant(suite.Ctx(), id, m.Now); err != nil {
		t.Fatal(err)
	}
	if m.model.grants[id] != nil {
		m.model.revoke(id)
	}
}

func (m *machine) revokeAccess(t *rapid.T) {
	name, client := suite.One(t, m.model.access, "token"), m.clientID(t)
	if _, err := m.Store.RevokeAccessToken(suite.Ctx(), storage.HashOf(name), suite.Issuer, client, m.Now); err != nil {
		t.Fatal(err)
	}
	if known := m.model.access[name]; known != nil && m.model.grants[known.grant].clientID == client {
		known.gone = true
	}
}

func (m *machine) sweep(t *rapid.T) {
	if _, err := m.Store.Sweep(suite.Ctx(), m.Now); err != nil {
		t.Fatal(err)
	}
}

// compare asks the store for everything the model knows.
func (m *machine) compare(t *rapid.T) {
	present := func(what, name string, err error, want bool) {
		if err != nil && err != storage.ErrNotFound || (err == nil) != want {
			t.Fatalf("%s %q: %v, want it there: %t", what, name, err, want)
		}
	}
	for name := range m.model.access {
		_, err := m.Store.AccessToken(suite.Ctx(), storage.HashOf(name), m.Now)
		present("access token", name, err, m.model.accessLives(name, m.Now))
	}
	for name, g := range m.model.grants {
		got, err := m.Store.Grant(suite.Ctx(), name, m.Now)
		present("grant", name, err, g.expires.After(m.Now))
		if err == nil && got.RevokedAt.IsZero() == g.revoked {
			t.Fatalf("grant %q revoked: %t, want %t", name, !g.revoked, g.revoked)
		}
	}
	for name, ends := range m.model.browser {
		_, err := m.Store.BrowserSession(suite.Ctx(), suite.Hash("cookie %s", name), m.Now)
		present("browser session", name, err, ends.After(m.Now))
	}
	for name, c := range m.model.clients {
		got, err := m.Store.Client(suite.Ctx(), name, m.Now)
		present("client", name, err, c.ExpiresAt.After(m.Now))
		if err == nil && got.Used != c.Used {
			t.Fatalf("client %q used: %t, want %t", name, got.Used, c.Used)
		}
	}
}

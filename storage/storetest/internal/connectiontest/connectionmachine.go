package connectiontest

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

var connectionModelTests = map[string]func(*fixture){
	"any sequence of calls answers as the model E25": func(f *fixture) {
		run := 0
		rapid.Check(f.T, func(t *rapid.T) {
			run++ // one store for all runs: each has owners of its own
			m := &connectionMachine{fixture: fixture{&suite.Connections{Fixture: f.Clone()}}, model: newConnectionModel(), run: fmt.Sprintf("run %d ", run)}
			for _, flow := range m.flows() {
				longest := m.Flow(flow)
				longest.Identity = m.who()
				longest.ExpiresAt = m.Now.Add(1000 * 24 * time.Hour)
				m.wants(t, storage.OK)(m.Store.SaveFlow(suite.Ctx(), longest, m.Now))
			}
			t.Repeat(map[string]func(*rapid.T){
				"wait":       m.wait,
				"connect":    m.connect,
				"change":     m.change,
				"lease":      m.leaseOne,
				"lease more": m.leaseOne,
				"disconnect": m.disconnectOne,
				"leave":      m.saveConnectState,
				"come back":  m.claimConnectState,
				"submit":     m.submit,
				"revoke":     m.revokeDue,
				"sweep":      m.sweep,
				"":           m.compare,
			})
		})
	},
}

// connectionMachine makes the same calls on the store and on the model.
type connectionMachine struct {
	fixture
	model *connectionModel
	seen  []storage.Connection // every state that was ever returned
	run   string
	last  int
}

func (m *connectionMachine) flows() []string { return []string{m.run + "f1", m.run + "f2"} }

// subject is the person of the run, who goes through all its flows.
func (m *connectionMachine) subject() string { return m.run + "alice" }

func (m *connectionMachine) who() storage.Identity {
	return storage.Identity{Kind: suite.Alice.Kind, Subject: m.subject()}
}

func (m *connectionMachine) owners() []string {
	owners := []string{m.subject(), m.run + "bob"}
	for _, flow := range m.flows() {
		owners = append(owners, storage.FlowOwner(flow))
	}
	return owners
}

func (m *connectionMachine) key(t *rapid.T) storage.ConnectionKey {
	return suite.ConnectionKey(rapid.SampledFrom(m.owners()).Draw(t, "owner"), rapid.SampledFrom([]string{"notion", "github"}).Draw(t, "server"))
}

// wants makes another verdict, or an error, end the run.
func (m *connectionMachine) wants(t *rapid.T, want storage.Verdict) func(storage.Verdict, error) {
	return func(got storage.Verdict, err error) {
		if err := suite.Wants(want)(got, err); err != nil {
			t.Fatal(err)
		}
	}
}

// same compares what a call returned with what the model has.
func (m *connectionMachine) same(t *rapid.T, got storage.Connection, k storage.ConnectionKey) {
	want := storage.Connection{}
	if c := m.model.connection(k, m.Now); c != nil {
		want = *c
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got\n%+v\nwant\n%+v", got, want)
	}
	if got.ID != "" {
		m.seen = append(m.seen, got)
	}
}

func (m *connectionMachine) wait(t *rapid.T) {
	m.After(rapid.SampledFrom([]time.Duration{1, time.Second, time.Minute, 15 * time.Minute, time.Hour}).Draw(t, "wait"))
}

func (m *connectionMachine) put(t *rapid.T, c storage.Connection) {
	want := m.model.put(storage.ConnectionReplacement{Connection: c}, m.Now)
	got, v, err := m.Store.PutConnection(suite.Ctx(), c, m.Now)
	m.wants(t, want)(v, err)
	m.same(t, got, c.ConnectionKey)
}

func (m *connectionMachine) replace(t *rapid.T, c storage.ConnectionReplacement) {
	want := m.model.put(c, m.Now)
	got, v, err := m.Store.ReplaceConnection(suite.Ctx(), c, m.Now)
	m.wants(t, want)(v, err)
	m.same(t, got, c.ConnectionKey)
}

func (m *connectionMachine) connect(t *rapid.T) {
	k := m.key(t)
	c := m.Connection(k.Owner, k.Server)
	if strings.HasPrefix(k.Owner, storage.FlowOwner("")) {
		c.ExpiresAt, c.OnExpiry = m.Now.Add(15*time.Minute), m.revokes(t, "on expiry")
	}
	m.last++
	c.ID = fmt.Sprint(m.run, m.last)
	m.replace(t, storage.ConnectionReplacement{Connection: c, Revokes: m.revokes(t, "replaces")})
}

// revokes is a revocation of its own, or none.
func (m *connectionMachine) revokes(t *rapid.T, label string) *storage.ProviderRevocation {
	if !rapid.Bool().Draw(t, label) {
		return nil
	}
	m.last++
	r := m.Revocation(fmt.Sprint(m.run, m.last))
	r.ExpiresAt = r.DueAt.Add(1000 * 24 * time.Hour)
	return &r
}

// revokeDue takes all that is queued, after everything that ended was swept.
func (m *connectionMachine) revokeDue(t *rapid.T) {
	m.Now = m.Now.Truncate(time.Second).Add(time.Second) // that is how exact a sweep is
	m.sweep(t)
	for k := range m.model.connections {
		if m.model.connection(k, m.Now) == nil {
			m.model.expire(k, m.Now)
		}
	}
	due, err := m.Store.DueRevocations(suite.Ctx(), suite.Issuer, 1<<20, m.Now, m.Now.Add(1))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, r := range due {
		if !strings.HasPrefix(r.ID, m.run) {
			continue // of an earlier run
		}
		got[r.ID] = true
		if err := m.Store.EndRevocation(suite.Ctx(), r.ID); err != nil {
			t.Fatal(err)
		}
	}
	if !maps.Equal(got, m.model.queued) {
		t.Fatalf("queued are %v, want %v", got, m.model.queued)
	}
	clear(m.model.queued)
}

// change puts what was true now, or at some time.
func (m *connectionMachine) change(t *rapid.T) {
	if len(m.seen) == 0 {
		return
	}
	c := rapid.SampledFrom(m.seen).Draw(t, "seen")
	if current := m.model.connection(c.ConnectionKey, m.Now); current != nil && rapid.Bool().Draw(t, "current") {
		c = *current
	}
	m.last++
	c.Secret = fmt.Append(nil, "secret ", m.last)
	c.State = rapid.SampledFrom([]storage.ConnectionState{storage.Active, storage.Active, storage.NeedsReauth}).Draw(t, "state")
	m.put(t, c)
}

func (m *connectionMachine) leaseOne(t *rapid.T) {
	of := storage.Connection{ConnectionKey: m.key(t), Revision: rapid.Uint64Range(0, 3).Draw(t, "revision")}
	if c := m.model.connection(of.ConnectionKey, m.Now); c != nil && rapid.Bool().Draw(t, "current") {
		of = *c
	} else if len(m.seen) > 0 && rapid.Bool().Draw(t, "seen") {
		of = rapid.SampledFrom(m.seen).Draw(t, "connection")
	}
	until := m.Now.Add(time.Minute)
	want := m.model.lease(of, "holder", until, m.Now)
	got, v, err := m.Store.LeaseConnection(suite.Ctx(), of, "holder", until, m.Now)
	m.wants(t, want)(v, err)
	m.same(t, got, of.ConnectionKey)
}

func (m *connectionMachine) disconnectOne(t *rapid.T) {
	k := m.key(t)
	c := storage.Connection{ConnectionKey: k}
	if current := m.model.connection(k, m.Now); current != nil && rapid.Bool().Draw(t, "current") {
		c = *current
	} else if len(m.seen) > 0 && rapid.Bool().Draw(t, "seen") {
		c = rapid.SampledFrom(m.seen).Draw(t, "connection")
	}
	want := m.model.disconnect(c, m.Now)
	got, v, err := m.Store.Disconnect(suite.Ctx(), c, nil, m.Now)
	m.wants(t, want)(v, err)
	m.same(t, got, c.ConnectionKey)
}

func (m *connectionMachine) saveConnectState(t *rapid.T) {
	m.last++
	name, k := fmt.Sprint(m.run, m.last), m.key(t)
	state := m.ConnectState(name, k.Owner, k.Server)
	if err := m.Store.SaveConnectState(suite.Ctx(), state); err != nil {
		t.Fatal(err)
	}
	m.model.states[name] = &state
}

func (m *connectionMachine) claimConnectState(t *rapid.T) {
	name := suite.One(t, m.model.states, "state")
	browser := storage.HashOf(rapid.SampledFrom([]string{"browser", "browser", "another"}).Draw(t, "browser"))
	state := m.model.states[name]
	want := m.model.claim(name, browser, m.Now)
	got, v, err := m.Store.ClaimConnectState(suite.Ctx(), suite.Hash("state %s", name), browser, m.Now)
	m.wants(t, want)(v, err)
	if want == storage.OK && !reflect.DeepEqual(got, *state) {
		t.Fatalf("got\n%+v\nwant\n%+v", got, *state)
	}
}

func (m *connectionMachine) submit(t *rapid.T) {
	m.last++
	flow := rapid.SampledFrom(m.flows()).Draw(t, "flow")
	sub := m.Submission(fmt.Sprint(m.run, m.last), "a")
	sub.FlowID, sub.Identity, sub.Grant.Identity = flow, m.who(), m.who()
	if rapid.IntRange(0, 4).Draw(t, "refused") == 0 {
		sub.Grant, sub.Code = nil, nil
	} else {
		sub.Adopt = suite.Replacing(m.adopt(t, storage.FlowOwner(flow))...)
	}
	want := m.model.submit(sub)
	v, err := m.Store.SubmitFlow(suite.Ctx(), sub)
	m.wants(t, want)(v, err)
}

// adopt prepares what the flow has, or something near it, for its subject.
func (m *connectionMachine) adopt(t *rapid.T, owner string) []storage.Connection {
	of := m.model.of(owner, m.Now)
	for i := range of {
		of[i].Owner = m.subject()
		if old := m.model.connection(of[i].ConnectionKey, m.Now); old != nil && rapid.IntRange(0, 4).Draw(t, "as seen") > 0 {
			of[i].ID = old.ID
		}
		of[i].Revision += uint64(rapid.SampledFrom([]int{0, 0, 0, 1}).Draw(t, "stale"))
	}
	if len(of) > 0 && rapid.IntRange(0, 4).Draw(t, "without one") == 0 {
		of = of[1:]
	}
	return of
}

func (m *connectionMachine) sweep(t *rapid.T) {
	if _, err := m.Store.Sweep(suite.Ctx(), m.Now); err != nil {
		t.Fatal(err)
	}
}

// compare asks the store for everything the model knows.
func (m *connectionMachine) compare(t *rapid.T) {
	for _, owner := range m.owners() {
		got, err := m.Store.ConnectionsOf(suite.Ctx(), suite.Issuer, owner, m.Now)
		if want := m.model.of(owner, m.Now); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("connections of %q: %v\n%+v\nwant\n%+v", owner, err, got, want)
		}
		for _, c := range got {
			byID, err := m.Store.ConnectionByID(suite.Ctx(), suite.Issuer, c.ID, m.Now)
			if err != nil || !reflect.DeepEqual(byID, c) {
				t.Fatalf("by ID: %v\n%+v\nwant\n%+v", err, byID, c)
			}
		}
	}
	for _, c := range m.seen {
		_, err := m.Store.ConnectionByID(suite.Ctx(), suite.Issuer, c.ID, m.Now)
		known := slices.ContainsFunc(slices.Collect(maps.Values(m.model.connections)), func(x *storage.Connection) bool {
			return x.ID == c.ID && m.model.connection(x.ConnectionKey, m.Now) != nil
		})
		if known != (err == nil) || err != nil && err != storage.ErrNotFound {
			t.Fatalf("by ID %q: %v, want it there: %t", c.ID, err, known)
		}
	}
}

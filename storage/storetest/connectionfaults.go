package storetest

import (
	"context"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// connectionCalls is one call of each method of storage.Connections.
func (f *fixture) connectionCalls(c context.Context) map[string]func() error {
	s, k := f.store, connectionKey("alice", "notion")
	third := func(_ any, _ storage.Verdict, err error) error { return err }
	return map[string]func() error{
		"Connection":     func() error { return second(s.Connection(c, k, f.now)) },
		"ConnectionByID": func() error { return second(s.ConnectionByID(c, issuer, "c-alice notion", f.now)) },
		"ConnectionsOf":  func() error { return second(s.ConnectionsOf(c, issuer, "", f.now)) },
		"PutConnection":  func() error { r, v, err := s.PutConnection(c, f.connection("z", "z"), f.now); return third(r, v, err) },
		"LeaseConnection": func() error {
			r, v, err := s.LeaseConnection(c, k, 1, "x", f.now.Add(1), f.now)
			return third(r, v, err)
		},
		"Disconnect": func() error {
			r, v, err := s.Disconnect(c, storage.Connection{ConnectionKey: k}, nil, f.now)
			return third(r, v, err)
		},
		"LastDisconnect":   func() error { return second(s.LastDisconnect(c, k)) },
		"SaveConnectState": func() error { return s.SaveConnectState(c, f.trip("z", "alice", "notion")) },
		"ClaimConnectState": func() error {
			r, v, err := s.ClaimConnectState(c, hash("state 1"), hash("browser"), f.now)
			return third(r, v, err)
		},
		"UpstreamClient":        func() error { return second(s.UpstreamClient(c, issuer, provider, "notion", f.now)) },
		"UpstreamClients":       func() error { return second(s.UpstreamClients(c, issuer, f.now)) },
		"PutUpstreamClient":     func() error { return second(s.PutUpstreamClient(c, f.upstreamClient("notion"), nil, f.now)) },
		"DeleteUpstreamClient":  func() error { return s.DeleteUpstreamClient(c, f.upstreamClient("notion")) },
		"DueRevocations":        func() error { return second(s.DueRevocations(c, issuer, 1, f.now, f.now.Add(1))) },
		"QueueRevocation":       func() error { return s.QueueRevocation(c, f.revocation("1")) },
		"EndFlows":              func() error { return s.EndFlows(c, issuer, alice.Subject, f.now) },
		"EndRevocation":         func() error { return s.EndRevocation(c, "1") },
		"GrantsOf":              func() error { return second(s.GrantsOf(c, issuer, alice.Subject, f.now)) },
		"CreateBrowserSession":  func() error { return s.CreateBrowserSession(c, f.browserSession("z", alice)) },
		"BrowserSession":        func() error { return second(s.BrowserSession(c, hash("cookie 1"), f.now)) },
		"DeleteBrowserSession":  func() error { return s.DeleteBrowserSession(c, hash("cookie 1"), nil, f.now) },
		"DeleteBrowserSessions": func() error { return s.DeleteBrowserSessions(c, issuer, alice.Subject) },
	}
}

// faultyConnectionVerbs are as faultyVerbs.
var faultyConnectionVerbs = map[string]faultyVerb{
	"PutConnection": {
		func(*fixture) {},
		func(f *fixture) error { return f.puts(f.connection("bob", "notion")) },
	},
	"PutConnection again": {
		func(f *fixture) { f.put(f.connection("alice", "notion")) },
		func(f *fixture) error {
			c := f.connection("alice", "notion")
			c.Revision, c.State = 1, storage.NeedsReauth
			return f.puts(c)
		},
	},
	"PutConnection that uses something up": {
		func(*fixture) {},
		func(f *fixture) error { return f.puts(f.using(f.connection("bob", "notion"), "link")) },
	},
	"PutConnection in place of another": {
		func(f *fixture) { f.put(f.connection("alice", "notion")) },
		func(f *fixture) error {
			c := f.connection("alice", "notion")
			c.Revision = 1
			return f.puts(f.revoking(c, "1"))
		},
	},
	"Sweep of what nobody finished": {
		func(f *fixture) {
			f.put(f.abandoned("2", "notion"))
			f.after(15 * time.Minute)
		},
		func(f *fixture) error { return second(f.store.Sweep(ctx(), f.now)) },
	},
	"LeaseConnection": {
		func(f *fixture) { f.put(f.connection("alice", "notion")) },
		func(f *fixture) error { return f.leases(1, storage.OK) },
	},
	"LeaseConnection that finds it in doubt": {
		func(f *fixture) {
			f.lease(f.put(f.connection("alice", "notion")), "lost", storage.OK)
			f.after(time.Hour)
		},
		func(f *fixture) error { return f.leases(1, storage.LeaseExpired) },
	},
	"Disconnect": {
		func(f *fixture) {
			f.put(f.connection("alice", "notion"))
			f.leave("1", "alice", "notion")
			f.leave("2", "alice", "notion")
		},
		func(f *fixture) error {
			r := f.revocation("1")
			c := storage.Connection{ConnectionKey: connectionKey("alice", "notion"), ID: "c-alice notion", Revision: 1}
			_, v, err := f.store.Disconnect(ctx(), c, &r, f.now)
			return wants(storage.OK)(v, err)
		},
	},
	"SaveConnectState": {
		func(*fixture) {},
		func(f *fixture) error { return f.store.SaveConnectState(ctx(), f.trip("1", "alice", "notion")) },
	},
	"ClaimConnectState": {
		func(f *fixture) { f.leave("1", "alice", "notion") },
		func(f *fixture) error {
			_, v, err := f.store.ClaimConnectState(ctx(), hash("state 1"), hash("browser"), f.now)
			return wants(storage.OK)(v, err)
		},
	},
	"PutUpstreamClient": {
		func(*fixture) {},
		func(f *fixture) error {
			return wants(storage.OK)(f.store.PutUpstreamClient(ctx(), f.upstreamClient("notion"), nil, f.now))
		},
	},
	"DeleteUpstreamClient": {
		func(f *fixture) { f.registers(f.upstreamClient("notion"), nil, storage.OK) },
		func(f *fixture) error { return f.store.DeleteUpstreamClient(ctx(), f.upstreamClient("notion")) },
	},
	"DueRevocations": {
		func(f *fixture) { f.queue(f.revocation("1")); f.queue(f.revocation("2")) },
		func(f *fixture) error {
			return second(f.store.DueRevocations(ctx(), issuer, 10, f.now, f.now.Add(time.Minute)))
		},
	},
	"QueueRevocation": {
		func(*fixture) {},
		func(f *fixture) error { return f.store.QueueRevocation(ctx(), f.revocation("1")) },
	},
	"EndFlows": {
		func(f *fixture) {
			f.identified("2")
			f.put(f.abandoned("2", "notion"))
			f.leave("1", storage.FlowOwner("2"), "linear")
		},
		func(f *fixture) error { return f.store.EndFlows(ctx(), issuer, alice.Subject, f.now) },
	},
	"SaveFlow of somebody else": {
		func(f *fixture) {
			f.identified("2")
			f.put(f.abandoned("2", "notion"))
		},
		func(f *fixture) error {
			changed := f.flow("2")
			changed.Identity = bob
			return wants(storage.OK)(f.store.SaveFlow(ctx(), changed, f.now))
		},
	},
	"EndRevocation": {
		func(f *fixture) { f.queue(f.revocation("1")) },
		func(f *fixture) error { return f.store.EndRevocation(ctx(), "1") },
	},
	"CreateBrowserSession": {
		func(*fixture) {},
		func(f *fixture) error { return f.store.CreateBrowserSession(ctx(), f.browserSession("1", alice)) },
	},
	"CreateBrowserSession that replaces": {
		func(f *fixture) { f.must(f.store.CreateBrowserSession(ctx(), f.browserSession("1", alice))) },
		func(f *fixture) error {
			next := f.browserSession("2", bob)
			next.Replaces = hash("cookie 1")
			return f.store.CreateBrowserSession(ctx(), next)
		},
	},
	"SubmitFlow that signs in": {
		func(f *fixture) { f.signingIn("2") },
		func(f *fixture) error {
			sub := f.submission("2", "b")
			b := f.browserSession("2", alice)
			b.Replaces = hash("cookie before")
			sub.Browser = &b
			return wants(storage.OK)(f.store.SubmitFlow(ctx(), sub))
		},
	},
	"DeleteBrowserSession": {
		func(f *fixture) { f.must(f.store.CreateBrowserSession(ctx(), f.browserSession("1", alice))) },
		func(f *fixture) error { return f.store.DeleteBrowserSession(ctx(), hash("cookie 1"), nil, f.now) },
	},
	"DeleteBrowserSessions": {
		func(f *fixture) {
			f.must(f.store.CreateBrowserSession(ctx(), f.browserSession("1", alice)))
			f.must(f.store.CreateBrowserSession(ctx(), f.browserSession("2", alice)))
		},
		func(f *fixture) error { return f.store.DeleteBrowserSessions(ctx(), issuer, alice.Subject) },
	},
	"SubmitFlow that adopts": {
		func(f *fixture) {
			f.connects("2", "notion")
			f.connects("2", "github")
			f.leave("1", storage.FlowOwner("2"), "linear")
		},
		func(f *fixture) error {
			sub := f.submission("2", "b")
			for _, server := range []string{"notion", "github"} {
				c := f.adopted(f.flowConnection("2", server))
				c.Revision = 1
				sub.Adopt = append(sub.Adopt, f.revoking(c, server))
			}
			return wants(storage.OK)(f.store.SubmitFlow(ctx(), sub))
		},
	},
	"SubmitFlow that refuses": {
		func(f *fixture) { f.connects("2", "notion") },
		func(f *fixture) error {
			sub := f.submission("2", "b")
			sub.Grant, sub.Code = nil, nil
			return wants(storage.OK)(f.store.SubmitFlow(ctx(), sub))
		},
	},
}

func (f *fixture) puts(c storage.Connection) error {
	_, v, err := f.store.PutConnection(ctx(), c, f.now)
	return wants(storage.OK)(v, err)
}

func (f *fixture) leases(revision uint64, want storage.Verdict) error {
	_, v, err := f.store.LeaseConnection(ctx(), connectionKey("alice", "notion"), revision, "one", f.now.Add(time.Minute), f.now)
	return wants(want)(v, err)
}

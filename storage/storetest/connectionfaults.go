package storetest

import (
	"context"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

// connectionCalls is one call of each method of storage.Connections.
func (f *fixture) connectionCalls(c context.Context) map[string]func() error {
	s, k := f.Store, suite.ConnectionKey("alice", "notion")
	third := func(_ any, _ storage.Verdict, err error) error { return err }
	return map[string]func() error{
		"Connection":     func() error { return second(s.Connection(c, k, f.Now)) },
		"ConnectionByID": func() error { return second(s.ConnectionByID(c, suite.Issuer, "c-alice notion", f.Now)) },
		"ConnectionsOf":  func() error { return second(s.ConnectionsOf(c, suite.Issuer, "", f.Now)) },
		"Connections":    func() error { return list(s.Connections(c, suite.Issuer, "", 10, f.Now)) },
		"PutConnection":  func() error { r, v, err := s.PutConnection(c, f.Connection("z", "z"), f.Now); return third(r, v, err) },
		"ReplaceConnection": func() error {
			_, _, err := s.ReplaceConnection(c, f.Using(f.Connection("alice", "notion"), "link"), f.Now)
			return err
		},
		"LeaseConnection": func() error {
			r, v, err := s.LeaseConnection(c, storage.Connection{ConnectionKey: k, ID: "c-alice notion", Revision: 1}, "x", f.Now.Add(1), f.Now)
			return third(r, v, err)
		},
		"Disconnect": func() error {
			r, v, err := s.Disconnect(c, storage.Connection{ConnectionKey: k}, nil, f.Now)
			return third(r, v, err)
		},
		"LastDisconnect":   func() error { return second(s.LastDisconnect(c, k)) },
		"SaveConnectState": func() error { return s.SaveConnectState(c, f.ConnectState("z", "alice", "notion")) },
		"ClaimConnectState": func() error {
			r, v, err := s.ClaimConnectState(c, suite.Hash("state 1"), suite.Hash("browser"), f.Now)
			return third(r, v, err)
		},
		"UpstreamClient":        func() error { return second(s.UpstreamClient(c, suite.Issuer, suite.Provider, "notion", f.Now)) },
		"UpstreamClients":       func() error { return second(s.UpstreamClients(c, suite.Issuer, f.Now)) },
		"PutUpstreamClient":     func() error { return second(s.PutUpstreamClient(c, f.UpstreamClient("notion"), nil, f.Now)) },
		"DeleteUpstreamClient":  func() error { return s.DeleteUpstreamClient(c, f.UpstreamClient("notion")) },
		"DueRevocations":        func() error { return second(s.DueRevocations(c, suite.Issuer, 1, f.Now, f.Now.Add(1))) },
		"QueueRevocation":       func() error { return s.QueueRevocation(c, f.Revocation("1")) },
		"EndFlows":              func() error { return s.EndFlows(c, suite.Issuer, suite.Alice.Subject, f.Now) },
		"EndRevocation":         func() error { return s.EndRevocation(c, "1") },
		"GrantsOf":              func() error { return second(s.GrantsOf(c, suite.Issuer, suite.Alice.Subject, f.Now)) },
		"CreateBrowserSession":  func() error { return s.CreateBrowserSession(c, f.BrowserSession("z", suite.Alice)) },
		"BrowserSessionsOf":     func() error { return second(s.BrowserSessionsOf(c, suite.Issuer, suite.Alice.Subject, f.Now)) },
		"BrowserSession":        func() error { return second(s.BrowserSession(c, suite.Hash("cookie 1"), f.Now)) },
		"DeleteBrowserSession":  func() error { return s.DeleteBrowserSession(c, suite.Hash("cookie 1"), nil, f.Now) },
		"DeleteBrowserSessions": func() error { return s.DeleteBrowserSessions(c, suite.Issuer, suite.Alice.Subject) },
	}
}

// faultyConnectionVerbs are as faultyVerbs.
var faultyConnectionVerbs = map[string]faultyVerb{
	"PutConnection": {
		func(*fixture) {},
		func(f *fixture) error { return f.puts(f.Connection("bob", "notion")) },
	},
	"PutConnection again": {
		func(f *fixture) { f.Put(f.Connection("alice", "notion")) },
		func(f *fixture) error {
			c := f.Connection("alice", "notion")
			c.Revision, c.State = 1, storage.NeedsReauth
			return f.puts(c)
		},
	},
	"ReplaceConnection that uses something up": {
		func(*fixture) {},
		func(f *fixture) error { return f.replaces(f.Using(f.Connection("bob", "notion"), "link")) },
	},
	"ReplaceConnection in place of another": {
		func(f *fixture) { f.Put(f.Connection("alice", "notion")) },
		func(f *fixture) error {
			c := f.Connection("alice", "notion")
			c.Revision = 1
			return f.replaces(f.Revoking(c, "1"))
		},
	},
	"Sweep of what nobody finished": {
		func(f *fixture) {
			f.Put(f.Abandoned("2", "notion"))
			f.After(15 * time.Minute)
		},
		func(f *fixture) error { return second(f.Store.Sweep(suite.Ctx(), f.Now)) },
	},
	"LeaseConnection": {
		func(f *fixture) { f.Put(f.Connection("alice", "notion")) },
		func(f *fixture) error { return f.leases(1, storage.OK) },
	},
	"LeaseConnection that finds it in doubt": {
		func(f *fixture) {
			f.Lease(f.Put(f.Connection("alice", "notion")), "lost", storage.OK)
			f.After(time.Hour)
		},
		func(f *fixture) error { return f.leases(1, storage.LeaseExpired) },
	},
	"Disconnect": {
		func(f *fixture) {
			f.Put(f.Connection("alice", "notion"))
			f.SaveConnectState("1", "alice", "notion")
			f.SaveConnectState("2", "alice", "notion")
		},
		func(f *fixture) error {
			r := f.Revocation("1")
			c := storage.Connection{ConnectionKey: suite.ConnectionKey("alice", "notion"), ID: "c-alice notion", Revision: 1}
			_, v, err := f.Store.Disconnect(suite.Ctx(), c, &r, f.Now)
			return suite.Wants(storage.OK)(v, err)
		},
	},
	"SaveConnectState": {
		func(*fixture) {},
		func(f *fixture) error {
			return f.Store.SaveConnectState(suite.Ctx(), f.ConnectState("1", "alice", "notion"))
		},
	},
	"ClaimConnectState": {
		func(f *fixture) { f.SaveConnectState("1", "alice", "notion") },
		func(f *fixture) error {
			_, v, err := f.Store.ClaimConnectState(suite.Ctx(), suite.Hash("state 1"), suite.Hash("browser"), f.Now)
			return suite.Wants(storage.OK)(v, err)
		},
	},
	"PutUpstreamClient": {
		func(*fixture) {},
		func(f *fixture) error {
			return suite.Wants(storage.OK)(f.Store.PutUpstreamClient(suite.Ctx(), f.UpstreamClient("notion"), nil, f.Now))
		},
	},
	"DeleteUpstreamClient": {
		func(f *fixture) { f.Registers(f.UpstreamClient("notion"), nil, storage.OK) },
		func(f *fixture) error { return f.Store.DeleteUpstreamClient(suite.Ctx(), f.UpstreamClient("notion")) },
	},
	"DueRevocations": {
		func(f *fixture) { f.Queue(f.Revocation("1")); f.Queue(f.Revocation("2")) },
		func(f *fixture) error {
			return second(f.Store.DueRevocations(suite.Ctx(), suite.Issuer, 10, f.Now, f.Now.Add(time.Minute)))
		},
	},
	"QueueRevocation": {
		func(*fixture) {},
		func(f *fixture) error { return f.Store.QueueRevocation(suite.Ctx(), f.Revocation("1")) },
	},
	"EndFlows": {
		func(f *fixture) {
			f.Identified("2")
			f.Put(f.Abandoned("2", "notion"))
			f.SaveConnectState("1", storage.FlowOwner("2"), "linear")
		},
		func(f *fixture) error { return f.Store.EndFlows(suite.Ctx(), suite.Issuer, suite.Alice.Subject, f.Now) },
	},
	"SaveFlow of somebody else": {
		func(f *fixture) {
			f.Identified("2")
			f.Put(f.Abandoned("2", "notion"))
		},
		func(f *fixture) error {
			changed := f.Flow("2")
			changed.Identity = suite.Bob
			return suite.Wants(storage.OK)(f.Store.SaveFlow(suite.Ctx(), changed, f.Now))
		},
	},
	"EndRevocation": {
		func(f *fixture) { f.Queue(f.Revocation("1")) },
		func(f *fixture) error { return f.Store.EndRevocation(suite.Ctx(), "1") },
	},
	"CreateBrowserSession": {
		func(*fixture) {},
		func(f *fixture) error {
			return f.Store.CreateBrowserSession(suite.Ctx(), f.BrowserSession("1", suite.Alice))
		},
	},
	"CreateBrowserSession that replaces": {
		func(f *fixture) {
			f.Must(f.Store.CreateBrowserSession(suite.Ctx(), f.BrowserSession("1", suite.Alice)))
		},
		func(f *fixture) error {
			next := f.BrowserSession("2", suite.Bob)
			next.Replaces = suite.Hash("cookie 1")
			return f.Store.CreateBrowserSession(suite.Ctx(), next)
		},
	},
	"SubmitFlow that signs in": {
		func(f *fixture) { f.SigningIn("2") },
		func(f *fixture) error {
			sub := f.Submission("2", "b")
			b := f.BrowserSession("2", suite.Alice)
			b.Replaces = suite.Hash("cookie before")
			sub.Browser = &b
			return suite.Wants(storage.OK)(f.Store.SubmitFlow(suite.Ctx(), sub))
		},
	},
	"DeleteBrowserSession": {
		func(f *fixture) {
			f.Must(f.Store.CreateBrowserSession(suite.Ctx(), f.BrowserSession("1", suite.Alice)))
		},
		func(f *fixture) error {
			return f.Store.DeleteBrowserSession(suite.Ctx(), suite.Hash("cookie 1"), nil, f.Now)
		},
	},
	"DeleteBrowserSessions": {
		func(f *fixture) {
			f.Must(f.Store.CreateBrowserSession(suite.Ctx(), f.BrowserSession("1", suite.Alice)))
			f.Must(f.Store.CreateBrowserSession(suite.Ctx(), f.BrowserSession("2", suite.Alice)))
		},
		func(f *fixture) error {
			return f.Store.DeleteBrowserSessions(suite.Ctx(), suite.Issuer, suite.Alice.Subject)
		},
	},
	"SubmitFlow that adopts": {
		func(f *fixture) {
			f.Connects("2", "notion")
			f.Connects("2", "github")
			f.SaveConnectState("1", storage.FlowOwner("2"), "linear")
		},
		func(f *fixture) error {
			sub := f.Submission("2", "b")
			for _, server := range []string{"notion", "github"} {
				c := f.Adopted(f.FlowConnection("2", server))
				c.Revision = 1
				sub.Adopt = append(sub.Adopt, f.Revoking(c, server))
			}
			return suite.Wants(storage.OK)(f.Store.SubmitFlow(suite.Ctx(), sub))
		},
	},
	"SubmitFlow that refuses": {
		func(f *fixture) { f.Connects("2", "notion") },
		func(f *fixture) error {
			sub := f.Submission("2", "b")
			sub.Grant, sub.Code = nil, nil
			return suite.Wants(storage.OK)(f.Store.SubmitFlow(suite.Ctx(), sub))
		},
	},
}

func (f *fixture) puts(c storage.Connection) error {
	_, v, err := f.Store.PutConnection(suite.Ctx(), c, f.Now)
	return suite.Wants(storage.OK)(v, err)
}

func (f *fixture) replaces(c storage.ConnectionReplacement) error {
	_, v, err := f.Store.ReplaceConnection(suite.Ctx(), c, f.Now)
	return suite.Wants(storage.OK)(v, err)
}

func (f *fixture) leases(revision uint64, want storage.Verdict) error {
	c := f.Connection("alice", "notion")
	c.Revision = revision
	_, v, err := f.Store.LeaseConnection(suite.Ctx(), c, "one", f.Now.Add(time.Minute), f.Now)
	return suite.Wants(want)(v, err)
}

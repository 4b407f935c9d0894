package sharedtest

import (
	"context"
	"encoding/json"
	"reflect"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

// asked is a question, and what another process does so that its answer is another
// one.
type asked struct {
	read   func(ctx context.Context) (any, error)
	change func() error
}

// answer is what a question was answered with.
type answer struct {
	value any
	err   error
}

func (q asked) in(ctx context.Context) answer {
	value, err := q.read(ctx)
	return answer{value, err}
}

// everything is all that can be read ahead, with the questions about it.
func (f *fixture) everything() (storage.Wanted, map[string]asked) {
	f.Helper()
	f.Register("a")
	f.Approve("1", "a") // its code and grant
	f.SignIn("2", "a")  // its tokens
	f.SignIn("4", "a")
	session := f.BrowserSession("b", suite.Alice)
	f.Must(f.Store.CreateBrowserSession(suite.Ctx(), session))
	flow := f.Flow("3")
	_, err := f.Store.SaveFlow(suite.Ctx(), flow, f.Now)
	f.Must(err)
	inFlow := f.Put(f.FlowConnection("3", "files"))
	mail, calendar := f.Put(f.Connection(suite.Alice.Subject, "mail")), f.Put(f.Connection(suite.Alice.Subject, "calendar"))
	f.Put(f.Connection(suite.Bob.Subject, "mail"))
	upstream := storage.UpstreamClient{Issuer: suite.Issuer, Provider: suite.Provider, Server: "mail", Secret: []byte("as")}
	_, err = f.Store.PutUpstreamClient(suite.Ctx(), upstream, nil, f.Now)
	f.Must(err)
	claim, rotation := f.Claim("1", "a"), f.Rotation("2", "a", 1)
	other, ctx, now := f.Other, suite.Ctx(), f.Now
	disconnect := func(c storage.Connection) func() error {
		return func() error { _, _, err := other.Disconnect(ctx, c, nil, now); return err }
	}
	return storage.Wanted{
			Issuer: suite.Issuer, Client: "a", Flow: "3", Session: session.Hash, LastGrantOf: "a", Code: claim.Hash, RefreshToken: rotation.Hash,
			AccessToken: suite.Hash("access 2 0"), Connection: mail.ConnectionKey, LastDisconnect: true, Once: suite.Hash("once"),
		}, map[string]asked{
			"client": {func(ctx context.Context) (any, error) { return f.Store.Client(ctx, "a", now) },
				func() error {
					c := f.Client("a")
					c.Metadata = json.RawMessage(`{"client_name":"another"}`)
					_, err := other.UpdateClient(ctx, c, c.RegistrationTokenHash, false, now)
					return err
				}},
			"session": {func(ctx context.Context) (any, error) { return f.Store.BrowserSession(ctx, session.Hash, now) },
				func() error { return other.DeleteBrowserSession(ctx, session.Hash, nil, now) }},
			"flow": {func(ctx context.Context) (any, error) { return f.Store.Flow(ctx, "3", now) },
				func() error { return other.EndFlows(ctx, suite.Issuer, suite.Alice.Subject, now) }},
			"connected in the flow": {func(ctx context.Context) (any, error) {
				return f.Store.ConnectionsOf(ctx, suite.Issuer, storage.FlowOwner("3"), now)
			}, disconnect(inFlow)},
			"connected by its person": {func(ctx context.Context) (any, error) {
				return f.Store.ConnectionsOf(ctx, suite.Issuer, suite.Alice.Subject, now)
			}, disconnect(calendar)},
			"last grant of its person": {func(ctx context.Context) (any, error) {
				return f.Store.LastGrant(ctx, suite.Issuer, suite.Alice.Subject, "a", now)
			}, func() error { _, err := other.RevokeGrant(ctx, "g-4", now); return err }},
			"code": {func(ctx context.Context) (any, error) { return f.Store.Code(ctx, claim.Hash, now) },
				func() error { _, err := other.ClaimCode(ctx, claim); return err }},
			"grant": {func(ctx context.Context) (any, error) { return f.Store.Grant(ctx, "g-1", now) },
				func() error { _, err := other.ClaimCode(ctx, claim); return err }},
			"access token": {func(ctx context.Context) (any, error) { return f.Store.AccessToken(ctx, suite.Hash("access 2 0"), now) },
				func() error {
					_, err := other.RevokeAccessToken(ctx, suite.Hash("access 2 0"), suite.Issuer, "a", now)
					return err
				}},
			"refresh token": {func(ctx context.Context) (any, error) {
				token, grant, err := f.Store.RefreshToken(ctx, rotation.Hash, now)
				return []any{token, grant}, err
			}, func() error { _, err := other.RotateRefreshToken(ctx, rotation); return err }},
			"connection": {func(ctx context.Context) (any, error) { return f.Store.Connection(ctx, mail.ConnectionKey, now) },
				disconnect(mail)},
			"disconnect": {func(ctx context.Context) (any, error) { return f.Store.LastDisconnect(ctx, mail.ConnectionKey) },
				disconnect(mail)},
			"registration at a provider": {func(ctx context.Context) (any, error) {
				return f.Store.UpstreamClient(ctx, suite.Issuer, suite.Provider, "mail", now)
			}, func() error { return other.DeleteUpstreamClient(ctx, upstream) }},
			"registrations at providers": {func(ctx context.Context) (any, error) { return f.Store.UpstreamClients(ctx, suite.Issuer, now) },
				func() error { return other.DeleteUpstreamClient(ctx, upstream) }},
			"one-time value": {func(ctx context.Context) (any, error) { return f.Store.Used(ctx, suite.Hash("once"), now) },
				func() error {
					_, err := other.UseOnce(ctx, suite.Hash("once"), now.Add(time.Minute), now)
					return err
				}},
		}
}

// readAhead returns the context of a request that has read ahead.
func (f *fixture) readAhead(w storage.Wanted) context.Context {
	ctx := storage.WithReads(suite.Ctx())
	f.Store.(storage.AheadReader).ReadAhead(ctx, w)
	return ctx
}

// agree checks that a request is answered as any other.
func (f *fixture) agree(ctx context.Context, questions map[string]asked) {
	f.Helper()
	for name, q := range questions {
		if got, want := q.in(ctx), q.in(suite.Ctx()); !reflect.DeepEqual(got, want) {
			f.Errorf("%s: got\n%+v\nwant\n%+v", name, got, want)
		}
	}
}

var aheadTests = map[string]func(*fixture){
	"answers as the store would": func(f *fixture) {
		w, questions := f.everything()
		f.agree(f.readAhead(w), questions)
		w.Connection.Owner = "" // that of the person of the session
		f.agree(f.readAhead(w), questions)
		nobody := storage.Wanted{
			Issuer: suite.Issuer, Client: "no", Flow: "no", Session: suite.Hash("no"), LastGrantOf: "no", Code: suite.Hash("no"), RefreshToken: suite.Hash("no"),
			AccessToken: suite.Hash("no"), Connection: suite.ConnectionKey("no", "mail"), LastDisconnect: true,
		}
		f.agree(f.readAhead(nobody), questions)
		for _, q := range questions {
			f.Must(q.change())
		}
		f.agree(f.readAhead(w), questions)
	},
	"is good for the request, until that changes something": func(f *fixture) {
		w, questions := f.everything()
		ctx, before := f.readAhead(w), map[string]answer{}
		for name, q := range questions {
			before[name] = q.in(suite.Ctx())
		}
		for _, q := range questions {
			f.Must(q.change())
		}
		for name, q := range questions {
			if got := q.in(ctx); !reflect.DeepEqual(got, before[name]) {
				f.Errorf("%s was read ahead, and is asked for again: got\n%+v\nwant\n%+v", name, got, before[name])
			}
			if now := q.in(suite.Ctx()); reflect.DeepEqual(now, before[name]) {
				f.Errorf("%s: another request is told what this one read: %+v", name, now)
			}
		}
		_, err := f.Store.UseOnce(ctx, suite.Hash("another"), f.Now.Add(time.Minute), f.Now)
		f.Must(err)
		f.agree(ctx, questions)
	},
	"what a claim reads is as the store would answer": func(f *fixture) {
		_, questions := f.everything()
		for _, owner := range []string{storage.FlowOwner("3"), suite.Alice.Subject} {
			state := storage.ConnectState{
				Hash: suite.Hash("state of %s", owner), ConnectionKey: suite.ConnectionKey(owner, "mail"), Browser: suite.Hash("browser"),
				Session: suite.Hash("cookie b"), ExpiresAt: f.Now.Add(time.Minute),
			}
			f.Must(f.Store.SaveConnectState(suite.Ctx(), state))
			ctx := storage.WithReads(suite.Ctx())
			got, v, err := f.Store.ClaimConnectState(ctx, state.Hash, state.Browser, f.Now)
			f.Verdict(v, err, storage.OK)
			f.Equal(got, state)
			f.agree(ctx, questions)
		}
	},
	"what the claim of a login reads is as the store would answer": func(f *fixture) {
		_, questions := f.everything()
		read := map[string]asked{}
		for _, name := range []string{"client", "flow", "session"} {
			read[name] = questions[name]
		}
		none := map[string]asked{
			"client": {read: func(ctx context.Context) (any, error) { return f.Store.Client(ctx, "no", f.Now) }},
			"flow":   {read: func(ctx context.Context) (any, error) { return f.Store.Flow(ctx, "no", f.Now) }},
		}
		claim := func(state storage.ConnectState) context.Context {
			state.Hash, state.ConnectionKey = suite.Hash("login %s", state.Flow), suite.ConnectionKey(storage.LoginOwner, "oidc")
			state.Browser, state.ExpiresAt = suite.Hash("browser"), f.Now.Add(time.Minute)
			f.Must(f.Store.SaveConnectState(suite.Ctx(), state))
			ctx := storage.WithReads(suite.Ctx())
			got, v, err := f.Store.ClaimConnectState(ctx, state.Hash, state.Browser, f.Now)
			f.Verdict(v, err, storage.OK)
			f.Equal(got, state)
			return ctx
		}
		there := claim(storage.ConnectState{Flow: "3", Client: "a", Session: suite.Hash("cookie b")})
		f.agree(there, read)
		absent := claim(storage.ConnectState{Flow: "no", Client: "no"})
		f.agree(absent, none)
		before := map[string]answer{}
		for name, q := range read {
			before[name] = q.in(suite.Ctx())
		}
		for _, q := range read {
			f.Must(q.change())
		}
		for name, q := range read { // they are not asked for once more
			if got := q.in(there); !reflect.DeepEqual(got, before[name]) {
				f.Errorf("%s was read with the claim: got\n%+v\nwant\n%+v", name, got, before[name])
			}
		}
		_, err := f.Store.SaveFlow(suite.Ctx(), f.Flow("no"), f.Now)
		f.Must(err)
		if _, err := f.Store.Flow(absent, "no", f.Now); err != storage.ErrNotFound {
			f.Errorf("a flow that was not there at the claim is asked for again: %v", err)
		}
	},
}

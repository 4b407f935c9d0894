package sharedtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

// patience is for a change that the other process is told of late.
const patience = 2 * storage.WatchInterval

var watchTests = map[string]func(*fixture){
	"a grant that is revoked": func(f *fixture) {
		f.SignIn("1", "a")
		w := f.watch(f.Other)
		_, err := f.Store.RevokeGrant(suite.Ctx(), "g-1", f.Now)
		f.Must(err)
		f.told(w, grantEnded("1"))
	},
	"a grant that is changed": func(f *fixture) {
		f.SignIn("1", "a")
		w := f.watch(f.Other)
		_, err := f.Store.ChangeGrant(suite.Ctx(), f.Change("1", "delete"))
		f.Must(err)
		f.told(w, grantEnded("1"))
		t, err := f.Other.AccessToken(suite.Ctx(), suite.Hash("access 1 0"), f.Now)
		f.Must(err)
		f.Equal(t.Chosen, suite.Choose("delete"))
	},
	"a grant that gives way in a quota": func(f *fixture) {
		quota := func(id string) storage.Submission {
			_, err := f.Store.SaveFlow(suite.Ctx(), f.Flow(id), f.Now)
			f.Must(err)
			sub := f.Submission(id, "a")
			sub.Quota = &storage.Quota{Key: suite.Hash("here"), Max: 1}
			return sub
		}
		v, err := f.Store.SubmitFlow(suite.Ctx(), quota("1"))
		f.Verdict(v, err, storage.OK)
		res, err := f.Store.ClaimCode(suite.Ctx(), f.Claim("1", "a"))
		f.Verdict(res.Verdict, err, storage.OK)
		w := f.watch(f.Other)
		v, err = f.Store.SubmitFlow(suite.Ctx(), quota("2"))
		f.Verdict(v, err, storage.OK)
		f.told(w, grantEnded("1"))
	},
	"a code that is replayed": func(f *fixture) {
		f.SignIn("1", "a")
		w := f.watch(f.Other)
		res, err := f.Store.ClaimCode(suite.Ctx(), f.Claim("1", "a"))
		f.Verdict(res.Verdict, err, storage.Replayed)
		f.told(w, grantEnded("1"))
	},
	"a refresh token that is replayed": func(f *fixture) {
		f.SignIn("1", "a")
		f.Rotate(f.Rotation("1", "a", 1), storage.OK)
		f.Rotate(f.Rotation("1", "a", 2), storage.OK)
		w := f.watch(f.Other)
		f.After(2 * suite.Grace)
		f.Rotate(f.Rotation("1", "a", 1), storage.Replayed)
		want := grantEnded("1")
		want.AccessTokens = append(want.AccessTokens, suite.Hash("access 1 1"), suite.Hash("access 1 2"))
		f.told(w, want)
	},
	"an access token that is revoked": func(f *fixture) {
		f.SignIn("1", "a")
		w := f.watch(f.Other)
		did, err := f.Store.RevokeAccessToken(suite.Ctx(), suite.Hash("access 1 0"), suite.Issuer, "a", f.Now)
		f.Must(err)
		f.Equal(did, true)
		want := grantEnded("1")
		want.GrantIDs = nil
		f.told(w, want)
	},
	"a client that is deleted or loses its grants": func(f *fixture) {
		f.Register("a")
		c := f.Register("b")
		f.SignIn("1", "a")
		f.SignIn("2", "b")
		w := f.watch(f.Other)
		_, err := f.Store.DeleteClient(suite.Ctx(), "a", f.Now)
		f.Must(err)
		f.told(w, grantEnded("1"))
		_, err = f.Store.UpdateClient(suite.Ctx(), c, c.RegistrationTokenHash, true, f.Now)
		f.Must(err)
		f.told(w, grantEnded("2"))
	},
	"an account that is connected, connected again, found to work no more, and disconnected": func(f *fixture) {
		w := f.watch(f.Other)
		c := f.Replace(storage.ConnectionReplacement{Connection: f.Connection(suite.Alice.Subject, "wiki")})
		changed := connectionChanged(suite.Alice.Subject, "wiki")
		f.told(w, changed)
		c = f.Replace(storage.ConnectionReplacement{Connection: c})
		f.told(w, changed)
		c.State = storage.NeedsReauth
		c = f.Put(c)
		f.told(w, changed)
		f.Disconnect(c.ConnectionKey, true)
		f.told(w, changed)
	},
	"an account whose lease ran out": func(f *fixture) {
		c := f.Put(f.Connection(suite.Alice.Subject, "wiki"))
		f.Lease(c, "somebody", storage.OK)
		w := f.watch(f.Other)
		f.After(2 * time.Minute)
		f.Lease(c, "another", storage.LeaseExpired)
		f.told(w, connectionChanged(suite.Alice.Subject, "wiki"))
	},
	"an account that a flow gives to its person": func(f *fixture) {
		f.Register("a")
		f.Identified("1")
		c := f.Replace(storage.ConnectionReplacement{Connection: f.FlowConnection("1", "wiki")})
		w := f.watch(f.Other)
		c.Owner, c.ExpiresAt = suite.Alice.Subject, time.Time{}
		sub := f.Submission("1", "a")
		sub.Adopt = []storage.ConnectionReplacement{{Connection: c}}
		v, err := f.Store.SubmitFlow(suite.Ctx(), sub)
		f.Verdict(v, err, storage.OK)
		f.told(w, connectionChanged(suite.Alice.Subject, "wiki"))
	},
	"a person of whom another thing is said, and who ends": func(f *fixture) {
		w := f.watch(f.Other)
		changed := storage.Change{Kind: storage.PersonChanged, Issuer: suite.Issuer, Subject: "oidc:company:alice"}
		p, v, err := f.Store.SavePerson(suite.Ctx(), storage.PersonLogin{Person: f.person("staff", "admins")}, f.Now)
		f.Verdict(v, err, storage.OK)
		f.told(w, changed)
		p.Claims = &storage.Claims{Groups: []string{"staff"}}
		_, v, err = f.Store.UpdatePerson(suite.Ctx(), p, f.Now)
		f.Verdict(v, err, storage.OK)
		f.told(w, changed)
		_, v, err = f.Store.EndPerson(suite.Ctx(), storage.PersonEnd{Issuer: p.Issuer, Subject: p.Subject, Now: f.Now})
		f.Verdict(v, err, storage.OK)
		f.told(w, changed)
	},
	"what a person approved who ends": func(f *fixture) {
		f.SignIn("1", "a")
		w := f.watch(f.Other)
		_, v, err := f.Store.EndPerson(suite.Ctx(), storage.PersonEnd{Issuer: suite.Issuer, Subject: suite.Alice.Subject, Now: f.Now})
		f.Verdict(v, err, storage.OK)
		f.told(w, grantEnded("1"))
	},
	"virtual keys": func(f *fixture) {
		w := f.watch(f.Other)
		changed := storage.Change{Kind: storage.VirtualKeysChanged, Issuer: suite.Issuer}
		k, v, err := f.Store.PutVirtualKey(suite.Ctx(), f.VirtualKey("alice"))
		f.Verdict(v, err, storage.OK)
		f.told(w, changed)
		v, err = f.Store.DeleteVirtualKey(suite.Ctx(), k)
		f.Verdict(v, err, storage.OK)
		f.told(w, changed)
	},
	"a site value that is replaced": func(f *fixture) {
		w := f.watch(f.Other)
		v, err := f.Store.ReplaceSiteValue(suite.Ctx(), f.SiteValue("keys"), "", f.Now)
		f.Verdict(v, err, storage.OK)
		f.told(w, storage.Change{Kind: storage.SiteValueChanged, Issuer: suite.Issuer, Name: "keys"})
	},
	"an announcement": func(f *fixture) {
		w := f.watch(f.Other)
		longest := strings.Repeat("x", storage.MaxAnnouncement)
		watcher := f.Store.(storage.Watcher)
		f.WantError(watcher.Announce(suite.Ctx(), suite.Issuer, "link", longest+"x"), storage.ErrAnnouncement)
		f.Must(watcher.Announce(suite.Ctx(), suite.Issuer, "link", longest))
		f.told(w, storage.Change{Kind: storage.Announced, Issuer: suite.Issuer, Name: "link", Text: longest})
	},
	"nothing of what nobody remembers, or what changed nothing": func(f *fixture) {
		f.Register("a")
		w := f.watch(f.Other)
		f.SignIn("1", "a")
		f.Rotate(f.Rotation("1", "a", 1), storage.OK)
		f.Replace(storage.ConnectionReplacement{Connection: f.FlowConnection("2", "wiki")})
		c := f.Put(f.Connection(suite.Alice.Subject, "wiki"))
		f.told(w, connectionChanged(suite.Alice.Subject, "wiki"))
		c = f.Lease(c, "somebody", storage.OK)
		f.Put(c) // refreshed
		f.Must(f.Store.PutSiteValue(suite.Ctx(), f.SiteValue("standing")))
		_, err := f.Store.RevokeGrant(suite.Ctx(), "unknown", f.Now)
		f.Must(err)
		p, v, err := f.Store.SavePerson(suite.Ctx(), storage.PersonLogin{Person: f.person("staff")}, f.Now)
		f.Verdict(v, err, storage.OK)
		f.told(w, storage.Change{Kind: storage.PersonChanged, Issuer: suite.Issuer, Subject: p.Subject})
		p.VerifiedAt = f.Now.Add(time.Minute)
		p, v, err = f.Store.UpdatePerson(suite.Ctx(), p, f.Now) // renewed
		f.Verdict(v, err, storage.OK)
		again := f.person("staff")
		_, v, err = f.Store.SavePerson(suite.Ctx(), storage.PersonLogin{Person: again}, f.Now)
		f.Verdict(v, err, storage.OK)
		f.told(w, f.mark("after all that"))
	},
	"nothing of this process": func(f *fixture) {
		w := f.watch(f.Store)
		f.SignIn("1", "a")
		_, err := f.Store.RevokeGrant(suite.Ctx(), "g-1", f.Now)
		f.Must(err)
		f.Must(f.Other.(storage.Watcher).Announce(suite.Ctx(), suite.Issuer, "of the other", ""))
		f.told(w, storage.Change{Kind: storage.Announced, Issuer: suite.Issuer, Name: "of the other"})
	},
	"all that many change at once": func(f *fixture) {
		w := f.watch(f.Other)
		var want []storage.Change
		for n := range suite.Racers {
			want = append(want, storage.Change{Kind: storage.Announced, Issuer: suite.Issuer, Name: fmt.Sprint(n)})
		}
		f.Together(func(n int) {
			if err := f.Store.(storage.Watcher).Announce(suite.Ctx(), suite.Issuer, fmt.Sprint(n), ""); err != nil {
				f.Error(err)
			}
		})
		f.told(w, want...)
	},
	"every watch of a process": func(f *fixture) {
		first, second := f.watch(f.Other), f.watch(f.Other)
		mark := f.mark("for both")
		f.told(first, mark)
		f.told(second, mark)
	},
	"a change can be seen when it is told": func(f *fixture) {
		f.SignIn("1", "a")
		w := f.watch(f.Other)
		_, err := f.Store.RevokeGrant(suite.Ctx(), "g-1", f.Now)
		f.Must(err)
		f.told(w, grantEnded("1"))
		g, err := f.Other.Grant(suite.Ctx(), "g-1", f.Now)
		f.Must(err)
		f.Equal(g.RevokedAt.IsZero(), false)
	},
	"ends when it is closed, when its caller gives up, and with the store": func(f *fixture) {
		ends := func(w storage.Watch, ctx context.Context, end func(), want error) {
			f.Helper()
			ended := make(chan error)
			go func() {
				for {
					if _, err := w.Next(ctx); err != nil {
						ended <- err
						return
					}
				}
			}()
			end()
			select {
			case err := <-ended:
				if !errors.Is(err, want) {
					f.Errorf("got %v, want %v", err, want)
				}
			case <-time.After(patience):
				f.Fatal("Next does not return")
			}
		}
		w := f.watch(f.Store)
		ends(w, suite.Ctx(), w.Close, storage.ErrClosed)
		ctx, cancel := context.WithCancel(suite.Ctx())
		ends(f.watch(f.Store), ctx, cancel, context.Canceled)
		ends(f.watch(f.Store), suite.Ctx(), func() { f.Must(f.Store.Close()) }, storage.ErrClosed)
		_, err := f.Store.(storage.Watcher).Watch(suite.Ctx())
		f.WantError(err, storage.ErrClosed)
	},
}

package sharedtest

import (
	"context"
	"reflect"
	"slices"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

// watch watches as one of the two processes.
func (f *fixture) watch(s storage.Store) storage.Watch {
	f.Helper()
	w, err := s.(storage.Watcher).Watch(suite.Ctx())
	f.Must(err)
	f.Cleanup(w.Close)
	return w
}

// told checks that a watch hands out these changes, and no other.
func (f *fixture) told(w storage.Watch, want ...storage.Change) {
	f.Helper()
	ctx, cancel := context.WithTimeout(suite.Ctx(), patience)
	defer cancel()
	missing := slices.Clone(want)
	for len(missing) > 0 {
		changes, err := w.Next(ctx)
		if err != nil {
			f.Fatalf("%v while these were waited for: %+v", err, missing)
		}
		for _, c := range changes {
			same := func(other storage.Change) bool { return reflect.DeepEqual(c, other) }
			if !slices.ContainsFunc(want, same) && !slices.ContainsFunc(f.before, same) {
				f.Fatalf("it hands out\n%+v\nwanted is one of\n%+v", c, missing)
			}
			missing = slices.DeleteFunc(missing, same)
		}
	}
	f.before = append(f.before, want...)
}

// mark is a change that tells that all before it were handed out.
func (f *fixture) mark(name string) storage.Change {
	f.Helper()
	f.Must(f.Store.(storage.Watcher).Announce(suite.Ctx(), suite.Issuer, name, ""))
	return storage.Change{Kind: storage.Announced, Issuer: suite.Issuer, Name: name}
}

func connectionChanged(owner, server string) storage.Change {
	return storage.Change{Kind: storage.ConnectionChanged, Issuer: suite.Issuer, Subject: owner, Server: server}
}

func (f *fixture) person(groups ...string) storage.Person {
	return storage.Person{
		Issuer: suite.Issuer, Subject: "oidc:company:alice", Kind: "oidc:company", Name: "alice", Proof: "issuer", ID: "id of alice",
		Claims: &storage.Claims{Groups: groups}, SignedInAt: f.Now, VerifiedAt: f.Now, ExpiresAt: f.Now.Add(time.Hour),
	}
}

// grantEnded is the change for the grant that a SignIn made.
func grantEnded(id string) storage.Change {
	return storage.Change{Kind: storage.TokensEnded, Revocation: storage.Revocation{
		AccessTokens: []storage.Hash{suite.Hash("access %s 0", id)}, GrantIDs: []string{"g-" + id},
	}}
}

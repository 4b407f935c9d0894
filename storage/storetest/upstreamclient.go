package storetest

import (
	"fmt"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

var upstreamClientTests = map[string]func(*fixture){
	"of one server at one provider K15": func(f *fixture) {
		c := f.upstreamClient("notion")
		c.ExpiresAt = f.now.Add(time.Hour)
		f.registers(c, nil, storage.OK)
		got, err := f.store.UpstreamClient(ctx(), issuer, provider, "notion", f.now)
		f.must(err)
		f.equal(got, c)
		for _, other := range [][3]string{
			{otherIssuer, provider, "notion"}, {issuer, "https://evil.example", "notion"}, {issuer, provider, "github"},
		} {
			_, err := f.store.UpstreamClient(ctx(), other[0], other[1], other[2], f.now)
			f.is(err, storage.ErrNotFound)
		}
		f.after(time.Hour)
		f.hasNoUpstreamClient("notion")
		f.registers(f.upstreamClient("notion"), nil, storage.OK) // nothing is in its way
	},
	"replaced, kept and forgotten": func(f *fixture) {
		c := f.upstreamClient("notion")
		f.registers(c, nil, storage.OK)
		former := c
		c.Secret = []byte("sealed anew")
		f.registers(c, former.Secret, storage.OK)
		f.after(1000 * 24 * time.Hour)
		_, err := f.store.Sweep(ctx(), f.now)
		f.must(err)
		f.hasUpstreamClient(c)
		f.must(f.store.DeleteUpstreamClient(ctx(), f.upstreamClient("github")))
		f.must(f.store.DeleteUpstreamClient(ctx(), former)) // it is another one by now
		f.hasUpstreamClient(c)
		f.must(f.store.DeleteUpstreamClient(ctx(), c))
		f.must(f.store.DeleteUpstreamClient(ctx(), c))
		f.hasNoUpstreamClient("notion")
	},
	"not in place of another one": func(f *fixture) {
		c := f.upstreamClient("notion")
		f.registers(c, []byte("some"), storage.Changed)
		f.hasNoUpstreamClient("notion")
		f.registers(c, nil, storage.OK)
		other := c
		other.Secret = []byte("another")
		f.registers(other, nil, storage.Changed)
		f.registers(other, []byte("some"), storage.Changed)
		f.hasUpstreamClient(c)
	},
	"all of an issuer": func(f *fixture) {
		for _, server := range []string{"notion", "github"} {
			f.registers(f.upstreamClient(server), nil, storage.OK)
		}
		ends := f.upstreamClient("ends")
		ends.ExpiresAt = f.now.Add(time.Hour)
		f.registers(ends, nil, storage.OK)
		foreign := f.upstreamClient("notion")
		foreign.Issuer = otherIssuer
		f.registers(foreign, nil, storage.OK)
		notion, github := f.upstreamClient("notion"), f.upstreamClient("github")
		f.after(time.Hour)
		all, err := f.store.UpstreamClients(ctx(), issuer, f.now)
		f.must(err)
		f.equal(all, []storage.UpstreamClient{github, notion})
	},
	"one of many at the same time": func(f *fixture) {
		var stored []byte
		for round := range rounds {
			won := f.race(func(n int) storage.Verdict {
				mine := f.upstreamClient("notion")
				mine.Secret = fmt.Append(nil, "secret ", round, n)
				v, err := f.store.PutUpstreamClient(ctx(), mine, stored, f.now)
				return f.raced(v, err, storage.OK, storage.Changed)
			})
			stored = fmt.Append(nil, "secret ", round, won)
			got, err := f.store.UpstreamClient(ctx(), issuer, provider, "notion", f.now)
			f.must(err)
			f.equal(string(got.Secret), string(stored))
		}
	},
}

func (f *fixture) upstreamClient(server string) storage.UpstreamClient {
	return storage.UpstreamClient{
		Issuer: issuer, Provider: provider, Server: server, Secret: []byte("sealed client"), CreatedAt: f.now,
	}
}

// registers stores a registration in place of the one with the secret.
func (f *fixture) registers(c storage.UpstreamClient, replaces []byte, want storage.Verdict) {
	f.Helper()
	v, err := f.store.PutUpstreamClient(ctx(), c, replaces, f.now)
	f.verdict(v, err, want)
}

func (f *fixture) hasUpstreamClient(want storage.UpstreamClient) {
	f.Helper()
	got, err := f.store.UpstreamClient(ctx(), want.Issuer, want.Provider, want.Server, f.now)
	f.must(err)
	f.equal(got, want)
}

func (f *fixture) hasNoUpstreamClient(server string) {
	f.Helper()
	_, err := f.store.UpstreamClient(ctx(), issuer, provider, server, f.now)
	f.is(err, storage.ErrNotFound)
}

package connectiontest

import (
	"fmt"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

var upstreamClientTests = map[string]func(*fixture){
	"of one server at one provider K15": func(f *fixture) {
		c := f.UpstreamClient("notion")
		c.ExpiresAt = f.Now.Add(time.Hour)
		f.Registers(c, nil, storage.OK)
		got, err := f.Store.UpstreamClient(suite.Ctx(), suite.Issuer, suite.Provider, "notion", f.Now)
		f.Must(err)
		f.Equal(got, c)
		for _, other := range [][3]string{
			{suite.OtherIssuer, suite.Provider, "notion"}, {suite.Issuer, "https://evil.example", "notion"}, {suite.Issuer, suite.Provider, "github"},
		} {
			_, err := f.Store.UpstreamClient(suite.Ctx(), other[0], other[1], other[2], f.Now)
			f.WantError(err, storage.ErrNotFound)
		}
		f.After(time.Hour)
		f.hasNoUpstreamClient("notion")
		f.Registers(f.UpstreamClient("notion"), nil, storage.OK) // nothing is in its way
	},
	"replaced, kept and forgotten": func(f *fixture) {
		c := f.UpstreamClient("notion")
		f.Registers(c, nil, storage.OK)
		former := c
		c.Secret = []byte("sealed anew")
		f.Registers(c, former.Secret, storage.OK)
		f.After(1000 * 24 * time.Hour)
		_, err := f.Store.Sweep(suite.Ctx(), f.Now)
		f.Must(err)
		f.hasUpstreamClient(c)
		f.Must(f.Store.DeleteUpstreamClient(suite.Ctx(), f.UpstreamClient("github")))
		f.Must(f.Store.DeleteUpstreamClient(suite.Ctx(), former)) // it is another one by now
		f.hasUpstreamClient(c)
		f.Must(f.Store.DeleteUpstreamClient(suite.Ctx(), c))
		f.Must(f.Store.DeleteUpstreamClient(suite.Ctx(), c))
		f.hasNoUpstreamClient("notion")
	},
	"not in place of another one": func(f *fixture) {
		c := f.UpstreamClient("notion")
		f.Registers(c, []byte("some"), storage.Changed)
		f.hasNoUpstreamClient("notion")
		f.Registers(c, nil, storage.OK)
		other := c
		other.Secret = []byte("another")
		f.Registers(other, nil, storage.Changed)
		f.Registers(other, []byte("some"), storage.Changed)
		f.hasUpstreamClient(c)
	},
	"all of an issuer": func(f *fixture) {
		for _, server := range []string{"notion", "github"} {
			f.Registers(f.UpstreamClient(server), nil, storage.OK)
		}
		ends := f.UpstreamClient("ends")
		ends.ExpiresAt = f.Now.Add(time.Hour)
		f.Registers(ends, nil, storage.OK)
		foreign := f.UpstreamClient("notion")
		foreign.Issuer = suite.OtherIssuer
		f.Registers(foreign, nil, storage.OK)
		notion, github := f.UpstreamClient("notion"), f.UpstreamClient("github")
		f.After(time.Hour)
		all, err := f.Store.UpstreamClients(suite.Ctx(), suite.Issuer, f.Now)
		f.Must(err)
		f.Equal(all, []storage.UpstreamClient{github, notion})
	},
	"one of many at the same time": func(f *fixture) {
		var stored []byte
		for round := range suite.Rounds {
			won := f.Race(func(n int) storage.Verdict {
				mine := f.UpstreamClient("notion")
				mine.Secret = fmt.Append(nil, "secret ", round, n)
				v, err := f.Store.PutUpstreamClient(suite.Ctx(), mine, stored, f.Now)
				return f.Raced(v, err, storage.OK, storage.Changed)
			})
			stored = fmt.Append(nil, "secret ", round, won)
			got, err := f.Store.UpstreamClient(suite.Ctx(), suite.Issuer, suite.Provider, "notion", f.Now)
			f.Must(err)
			f.Equal(string(got.Secret), string(stored))
		}
	},
}

func (f *fixture) hasUpstreamClient(want storage.UpstreamClient) {
	f.Helper()
	got, err := f.Store.UpstreamClient(suite.Ctx(), want.Issuer, want.Provider, want.Server, f.Now)
	f.Must(err)
	f.Equal(got, want)
}

func (f *fixture) hasNoUpstreamClient(server string) {
	f.Helper()
	_, err := f.Store.UpstreamClient(suite.Ctx(), suite.Issuer, suite.Provider, server, f.Now)
	f.WantError(err, storage.ErrNotFound)
}

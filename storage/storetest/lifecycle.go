package storetest

import (
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

var openTests = map[string]func(*fixture){
	"a new store is empty, and one with a record is not": func(f *fixture) {
		for _, want := range []bool{true, false} {
			empty, err := f.Store.Empty(suite.Ctx())
			f.Must(err)
			f.Equal(empty, want)
			f.Must(f.Store.Check(suite.Ctx()))
			f.Must(f.Store.PutSiteValue(suite.Ctx(), f.SiteValue("a")))
		}
	},
}

var closeTests = map[string]func(*fixture){
	"everything after Close is ErrClosed": func(f *fixture) {
		f.SignIn("1", "a")
		f.Must(f.Store.Close())
		for name, call := range f.everyCall() {
			if err := call(); err != storage.ErrClosed {
				f.Errorf("%s: %v", name, err)
			}
		}
	},
	"Close twice": func(f *fixture) {
		f.Must(f.Store.Close())
		f.Must(f.Store.Close())
	},
	"an ended context changes nothing": func(f *fixture) {
		f.SignIn("1", "a")
		f.Rotate(f.Rotation("1", "a", 1), storage.OK)
		for name, call := range f.endedCalls() {
			if err := call(); err == nil {
				f.Errorf("%s: no error", name)
			}
		}
		f.AccessLives("1", 0, true)
		f.Rotate(f.Rotation("1", "a", 2), storage.OK)
	},
}

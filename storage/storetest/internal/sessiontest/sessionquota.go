package sessiontest

import (
	"fmt"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

// Browser sessions of people who proved nothing are bounded by where they are.
var unprovedSessionTests = map[string]func(*fixture){
	"a block is bounded, and its largest part gives way": func(f *fixture) {
		sign := func(id, key string) {
			b := f.BrowserSession(id, suite.Alice)
			b.Quota = &storage.Quota{Key: suite.Hash("%s", key), Max: 10, Block: suite.Hash("block"), MaxBlock: 6}
			f.Must(f.Store.CreateBrowserSession(suite.Ctx(), b))
			f.After(time.Second)
		}
		sign("rightful", "one")
		for i := range 10 {
			sign(fmt.Sprint(i), "two")
		}
		f.SignedIn("rightful", true)
		f.SignedIn("4", false)
		f.SignedIn("5", true)
	},
	"beyond the quota the oldest end": func(f *fixture) {
		quota := &storage.Quota{Key: suite.Hash("here"), Max: 3, Block: suite.Hash("block"), MaxBlock: 10}
		proved := f.BrowserSession("proved", suite.Alice)
		f.Must(f.Store.CreateBrowserSession(suite.Ctx(), proved))
		for i := range 5 {
			f.After(time.Second)
			b := f.BrowserSession(fmt.Sprint(i), suite.Alice)
			b.Quota = quota
			f.Must(f.Store.CreateBrowserSession(suite.Ctx(), b))
		}
		for i := range 5 {
			f.SignedIn(fmt.Sprint(i), i >= 2)
		}
		f.SignedIn("proved", true)
	},
	"one that ended goes first": func(f *fixture) {
		quota := &storage.Quota{Key: suite.Hash("here"), Max: 2}
		for i := range 2 {
			f.After(time.Second)
			b := f.BrowserSession(fmt.Sprint(i), suite.Alice)
			b.Quota = quota
			f.Must(f.Store.CreateBrowserSession(suite.Ctx(), b))
		}
		f.Must(f.Store.DeleteBrowserSession(suite.Ctx(), f.BrowserSession("1", suite.Alice).Hash, nil, f.Now))
		b := f.BrowserSession("2", suite.Alice)
		b.Quota = quota
		f.Must(f.Store.CreateBrowserSession(suite.Ctx(), b))
		f.SignedIn("0", true)
		f.SignedIn("2", true)
	},
}

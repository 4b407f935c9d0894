package storetest

import (
	"fmt"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

var usageTests = map[string]func(*fixture){
	"nothing is stored": func(f *fixture) { f.usage(0, 0) },
	"a flow is pending until it is submitted": func(f *fixture) {
		for i := range 3 {
			v, err := f.Store.SaveFlow(suite.Ctx(), f.Flow(fmt.Sprint(i)), f.Now)
			f.Verdict(v, err, storage.OK)
		}
		f.usage(3, 0)
		f.Approve("0", "a")
		f.ApproveNothing("1")
		f.usage(1, 0)
	},
	"a flow that ended is not pending": func(f *fixture) {
		v, err := f.Store.SaveFlow(suite.Ctx(), f.Flow("1"), f.Now)
		f.Verdict(v, err, storage.OK)
		f.After(15 * time.Minute)
		f.usage(0, 0)
	},
	"revocations of all issuers are counted, due or not": func(f *fixture) {
		f.Queue(f.Revocation("1"))
		other := f.Revocation("2")
		other.Issuer, other.DueAt = "https://other.example", f.Now.Add(time.Hour)
		f.Queue(other)
		f.usage(0, 2)
		f.Must(f.Store.EndRevocation(suite.Ctx(), "1"))
		f.usage(0, 1)
	},
}

func (f *fixture) usage(flows, revocations int) {
	f.Helper()
	got, err := f.Store.Usage(suite.Ctx(), f.Now)
	f.Must(err)
	f.Equal(storage.Usage{Bytes: got.Bytes, PendingFlows: flows, Revocations: revocations}, got)
}

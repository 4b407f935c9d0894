package connectiontest

import (
	"fmt"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

var connectionSweepTests = map[string]func(*fixture){
	"leaves what lives": func(f *fixture) {
		c := f.Put(f.Connection("alice", "notion"))
		pending := f.Connects("1", "notion")
		f.SaveConnectState("1", "alice", "notion")
		f.Queue(f.Revocation("1"))
		f.Must(f.Store.CreateBrowserSession(suite.Ctx(), f.BrowserSession("1", suite.Alice)))
		f.After(15*time.Minute - time.Second)
		n, err := f.Store.Sweep(suite.Ctx(), f.Now)
		f.Must(err)
		f.Equal(n, 0)
		f.Stored(c)
		f.Stored(pending)
		f.ClaimConnectState("1", storage.OK)
		f.Equal(f.Due(1), []string{"1"})
		f.SignedIn("1", true)
	},
	"removes all that ended, and what finds it M13": func(f *fixture) {
		for i := range 100 {
			id := fmt.Sprint(i)
			f.Put(f.FlowConnection(id, "notion"))
			f.SaveConnectState(id, "alice", "notion")
			f.Queue(f.Revocation(id))
			f.Must(f.Store.CreateBrowserSession(suite.Ctx(), f.BrowserSession(id, suite.Alice)))
			client := f.UpstreamClient(id)
			client.ExpiresAt = f.Now.Add(time.Hour)
			f.Registers(client, nil, storage.OK)
		}
		f.After(31 * 24 * time.Hour)
		n, err := f.Store.Sweep(suite.Ctx(), f.Now)
		f.Must(err)
		if n < 100*5 {
			f.Fatalf("removed %d records", n)
		}
		n, err = f.Store.Sweep(suite.Ctx(), f.Now)
		f.Must(err)
		f.Equal(n, 0)
	},
	"what was ended leaves nothing to sweep, but that it was disconnected": func(f *fixture) {
		f.Disconnect(f.Put(f.FlowConnection("1", "notion")).ConnectionKey, true)
		f.SaveConnectState("1", "alice", "notion")
		f.ClaimConnectState("1", storage.OK)
		f.SaveConnectState("2", "alice", "github")
		f.Disconnect(suite.ConnectionKey("alice", "github"), false)
		f.Queue(f.Revocation("1"))
		f.Equal(f.Due(1), []string{"1"})
		f.Must(f.Store.EndRevocation(suite.Ctx(), "1"))
		f.Must(f.Store.CreateBrowserSession(suite.Ctx(), f.BrowserSession("1", suite.Bob)))
		next := f.BrowserSession("3", suite.Alice)
		next.Replaces = suite.Hash("cookie 1")
		f.Must(f.Store.CreateBrowserSession(suite.Ctx(), next))
		f.Must(f.Store.DeleteBrowserSession(suite.Ctx(), suite.Hash("cookie 3"), nil, f.Now))
		f.Must(f.Store.CreateBrowserSession(suite.Ctx(), f.BrowserSession("2", suite.Alice)))
		f.Must(f.Store.DeleteBrowserSessions(suite.Ctx(), suite.Issuer, suite.Alice.Subject))
		f.After(1000 * 24 * time.Hour)
		n, err := f.Store.Sweep(suite.Ctx(), f.Now)
		f.Must(err)
		f.Equal(n, 2) // the two that were disconnected
	},
	"what was extended stays": func(f *fixture) {
		c := f.FlowConnection("1", "notion")
		c = f.Put(c)
		c.ExpiresAt = f.Now.Add(time.Hour)
		c = f.Put(c)
		f.After(30 * time.Minute)
		_, err := f.Store.Sweep(suite.Ctx(), f.Now)
		f.Must(err)
		f.Stored(c)
	},
}

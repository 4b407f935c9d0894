package storetest

import (
	"fmt"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

var connectionSweepTests = map[string]func(*fixture){
	"leaves what lives": func(f *fixture) {
		c := f.put(f.connection("alice", "notion"))
		pending := f.connects("1", "notion")
		f.leave("1", "alice", "notion")
		f.queue(f.revocation("1"))
		f.must(f.store.CreateBrowserSession(ctx(), f.browserSession("1", alice)))
		f.after(15*time.Minute - time.Second)
		n, err := f.store.Sweep(ctx(), f.now)
		f.must(err)
		f.equal(n, 0)
		f.stands(c)
		f.stands(pending)
		f.comeBack("1", storage.OK)
		f.equal(f.due(1), []string{"1"})
		f.signedIn("1", true)
	},
	"removes all that ended, and what finds it M13": func(f *fixture) {
		for i := range 100 {
			id := fmt.Sprint(i)
			f.put(f.flowConnection(id, "notion"))
			f.leave(id, "alice", "notion")
			f.queue(f.revocation(id))
			f.must(f.store.CreateBrowserSession(ctx(), f.browserSession(id, alice)))
			client := f.upstreamClient(id)
			client.ExpiresAt = f.now.Add(time.Hour)
			f.registers(client, nil, storage.OK)
		}
		f.after(31 * 24 * time.Hour)
		n, err := f.store.Sweep(ctx(), f.now)
		f.must(err)
		f.equal(n, 100*(2+2+2+2+1))
	},
	"what was ended leaves nothing to sweep, but that it was disconnected": func(f *fixture) {
		f.disconnect(f.put(f.flowConnection("1", "notion")).ConnectionKey, true)
		f.leave("1", "alice", "notion")
		f.comeBack("1", storage.OK)
		f.leave("2", "alice", "github")
		f.disconnect(connectionKey("alice", "github"), false)
		f.queue(f.revocation("1"))
		f.equal(f.due(1), []string{"1"})
		f.must(f.store.EndRevocation(ctx(), "1"))
		f.must(f.store.CreateBrowserSession(ctx(), f.browserSession("1", bob)))
		next := f.browserSession("3", alice)
		next.Replaces = hash("cookie 1")
		f.must(f.store.CreateBrowserSession(ctx(), next))
		f.must(f.store.DeleteBrowserSession(ctx(), hash("cookie 3"), nil, f.now))
		f.must(f.store.CreateBrowserSession(ctx(), f.browserSession("2", alice)))
		f.must(f.store.DeleteBrowserSessions(ctx(), issuer, alice.Subject))
		f.after(1000 * 24 * time.Hour)
		n, err := f.store.Sweep(ctx(), f.now)
		f.must(err)
		f.equal(n, 2)
	},
	"what was extended stays": func(f *fixture) {
		c := f.flowConnection("1", "notion")
		c = f.put(c)
		c.ExpiresAt = f.now.Add(time.Hour)
		c = f.put(c)
		f.after(30 * time.Minute)
		_, err := f.store.Sweep(ctx(), f.now)
		f.must(err)
		f.stands(c)
	},
}

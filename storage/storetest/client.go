package storetest

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

var clientTests = map[string]func(*fixture){
	"reads back what was stored": func(f *fixture) {
		c := f.client("a")
		secret := hash("secret")
		c.SecretHash = &secret
		f.must(f.store.CreateClient(ctx(), c, storage.Unused{}))
		got, err := f.store.Client(ctx(), "a", f.now)
		f.must(err)
		f.equal(got, c)
	},
	"unknown": func(f *fixture) {
		_, err := f.store.Client(ctx(), "nobody", f.now)
		f.is(err, storage.ErrNotFound)
	},
	"an ID is taken once": func(f *fixture) {
		c := f.register("a")
		again := c
		again.Metadata = json.RawMessage(`{}`)
		if err := f.store.CreateClient(ctx(), again, storage.Unused{}); err == nil {
			f.Fatal("stored over another registration")
		}
		got, err := f.store.Client(ctx(), "a", f.now)
		f.must(err)
		f.equal(got, c)
	},
	"ends at ExpiresAt": func(f *fixture) {
		f.register("a")
		f.after(24*time.Hour - 1)
		_, err := f.store.Client(ctx(), "a", f.now)
		f.must(err)
		f.after(1)
		_, err = f.store.Client(ctx(), "a", f.now)
		f.is(err, storage.ErrNotFound)
		_, err = f.store.DeleteClient(ctx(), "a", f.now)
		f.is(err, storage.ErrNotFound)
		_, err = f.store.UpdateClient(ctx(), f.client("a"), hash("registration token of a"), false, f.now)
		f.is(err, storage.ErrNotFound)
	},
	"a flood evicts the oldest unused": func(f *fixture) {
		f.register("used")
		f.approve("1", "used")
		for i := range 10 {
			f.after(time.Second)
			f.must(f.store.CreateClient(ctx(), f.client(fmt.Sprint("c", i)), storage.Unused{Max: 3}))
		}
		for i := range 10 {
			_, err := f.store.Client(ctx(), fmt.Sprint("c", i), f.now)
			if i < 7 {
				f.is(err, storage.ErrNotFound)
			} else {
				f.must(err)
			}
		}
		_, err := f.store.Client(ctx(), "used", f.now)
		f.must(err)
	},
	"a flood on one issuer spares the others": func(f *fixture) {
		quiet := f.client("quiet")
		quiet.Issuer = otherIssuer
		f.must(f.store.CreateClient(ctx(), quiet, storage.Unused{Max: 1}))
		for i := range 5 {
			f.must(f.store.CreateClient(ctx(), f.client(fmt.Sprint("c", i)), storage.Unused{Max: 1}))
		}
		_, err := f.store.Client(ctx(), "quiet", f.now)
		f.must(err)
	},
	"the newcomer stays when the clock went back": func(f *fixture) {
		f.register("a")
		f.after(-time.Hour)
		f.must(f.store.CreateClient(ctx(), f.client("b"), storage.Unused{Max: 1}))
		_, err := f.store.Client(ctx(), "b", f.now)
		f.must(err)
		_, err = f.store.Client(ctx(), "a", f.now)
		f.is(err, storage.ErrNotFound)
	},
	"what was deleted, used or swept no longer counts": func(f *fixture) {
		f.register("deleted")
		f.register("used")
		ended := f.client("swept")
		ended.ExpiresAt = f.now.Add(time.Minute)
		f.must(f.store.CreateClient(ctx(), ended, storage.Unused{}))
		f.register("kept")
		_, err := f.store.DeleteClient(ctx(), "deleted", f.now)
		f.must(err)
		f.approve("1", "used")
		f.after(time.Minute)
		_, err = f.store.Sweep(ctx(), f.now)
		f.must(err)
		f.must(f.store.CreateClient(ctx(), f.client("new"), storage.Unused{Max: 2}))
		_, err = f.store.Client(ctx(), "kept", f.now)
		f.must(err)
	},
	"update replaces what the client may change": func(f *fixture) {
		c := f.register("a")
		f.approve("1", "a")
		old, err := f.store.Client(ctx(), "a", f.now)
		f.must(err)
		changed := storage.Client{ID: "a", Issuer: issuer, Metadata: json.RawMessage(`{"client_name":"b"}`), RegistrationTokenHash: hash("new token")}
		secret := hash("new secret")
		changed.SecretHash = &secret
		rev, err := f.store.UpdateClient(ctx(), changed, c.RegistrationTokenHash, false, f.now)
		f.must(err)
		f.equal(rev, storage.Revocation{})
		got, err := f.store.Client(ctx(), "a", f.now)
		f.must(err)
		old.Metadata, old.SecretHash, old.RegistrationTokenHash = changed.Metadata, &secret, changed.RegistrationTokenHash
		f.equal(got, old)
	},
	"update needs the current token and the issuer": func(f *fixture) {
		c := f.register("a")
		_, err := f.store.UpdateClient(ctx(), c, hash("old token"), true, f.now)
		f.is(err, storage.ErrNotFound)
		foreign := c
		foreign.Issuer = otherIssuer
		_, err = f.store.UpdateClient(ctx(), foreign, c.RegistrationTokenHash, true, f.now)
		f.is(err, storage.ErrNotFound)
		_, err = f.store.UpdateClient(ctx(), f.client("b"), hash("registration token of b"), true, f.now)
		f.is(err, storage.ErrNotFound)
		got, err := f.store.Client(ctx(), "a", f.now)
		f.must(err)
		f.equal(got, c)
	},
}

package authtest

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

var clientTests = map[string]func(*fixture){
	"reads back what was stored": func(f *fixture) {
		c := f.Client("a")
		secret := suite.Hash("secret")
		c.SecretHash = &secret
		f.Must(f.Store.CreateClient(suite.Ctx(), c, storage.Unused{}))
		got, err := f.Store.Client(suite.Ctx(), "a", f.Now)
		f.Must(err)
		f.Equal(got, c)
	},
	"unknown": func(f *fixture) {
		_, err := f.Store.Client(suite.Ctx(), "nobody", f.Now)
		f.WantError(err, storage.ErrNotFound)
	},
	"an ID is taken once": func(f *fixture) {
		c := f.Register("a")
		again := c
		again.Metadata = json.RawMessage(`{}`)
		if err := f.Store.CreateClient(suite.Ctx(), again, storage.Unused{}); err == nil {
			f.Fatal("stored over another registration")
		}
		got, err := f.Store.Client(suite.Ctx(), "a", f.Now)
		f.Must(err)
		f.Equal(got, c)
	},
	"ends at ExpiresAt": func(f *fixture) {
		f.Register("a")
		f.After(24*time.Hour - 1)
		_, err := f.Store.Client(suite.Ctx(), "a", f.Now)
		f.Must(err)
		f.After(1)
		_, err = f.Store.Client(suite.Ctx(), "a", f.Now)
		f.WantError(err, storage.ErrNotFound)
		_, err = f.Store.DeleteClient(suite.Ctx(), "a", f.Now)
		f.WantError(err, storage.ErrNotFound)
		_, err = f.Store.UpdateClient(suite.Ctx(), f.Client("a"), suite.Hash("registration token of a"), false, f.Now)
		f.WantError(err, storage.ErrNotFound)
	},
	"a flood evicts the oldest unused": func(f *fixture) {
		f.Register("used")
		f.Approve("1", "used")
		for i := range 10 {
			f.After(time.Second)
			f.Must(f.Store.CreateClient(suite.Ctx(), f.Client(fmt.Sprint("c", i)), storage.Unused{Max: 3}))
		}
		for i := range 10 {
			_, err := f.Store.Client(suite.Ctx(), fmt.Sprint("c", i), f.Now)
			if i < 7 {
				f.WantError(err, storage.ErrNotFound)
			} else {
				f.Must(err)
			}
		}
		_, err := f.Store.Client(suite.Ctx(), "used", f.Now)
		f.Must(err)
	},
	"a flood on one issuer spares the others": func(f *fixture) {
		quiet := f.Client("quiet")
		quiet.Issuer = suite.OtherIssuer
		f.Must(f.Store.CreateClient(suite.Ctx(), quiet, storage.Unused{Max: 1}))
		for i := range 5 {
			f.Must(f.Store.CreateClient(suite.Ctx(), f.Client(fmt.Sprint("c", i)), storage.Unused{Max: 1}))
		}
		_, err := f.Store.Client(suite.Ctx(), "quiet", f.Now)
		f.Must(err)
	},
	"the newcomer stays when the clock went back": func(f *fixture) {
		f.Register("a")
		f.After(-time.Hour)
		f.Must(f.Store.CreateClient(suite.Ctx(), f.Client("b"), storage.Unused{Max: 1}))
		_, err := f.Store.Client(suite.Ctx(), "b", f.Now)
		f.Must(err)
		_, err = f.Store.Client(suite.Ctx(), "a", f.Now)
		f.WantError(err, storage.ErrNotFound)
	},
	"what was deleted, used or swept no longer counts": func(f *fixture) {
		f.Register("deleted")
		f.Register("used")
		ended := f.Client("swept")
		ended.ExpiresAt = f.Now.Add(time.Minute)
		f.Must(f.Store.CreateClient(suite.Ctx(), ended, storage.Unused{}))
		f.Register("kept")
		_, err := f.Store.DeleteClient(suite.Ctx(), "deleted", f.Now)
		f.Must(err)
		f.Approve("1", "used")
		f.After(time.Minute)
		_, err = f.Store.Sweep(suite.Ctx(), f.Now)
		f.Must(err)
		f.Must(f.Store.CreateClient(suite.Ctx(), f.Client("new"), storage.Unused{Max: 2}))
		_, err = f.Store.Client(suite.Ctx(), "kept", f.Now)
		f.Must(err)
	},
	"update replaces what the client may change": func(f *fixture) {
		c := f.Register("a")
		f.Approve("1", "a")
		old, err := f.Store.Client(suite.Ctx(), "a", f.Now)
		f.Must(err)
		changed := storage.Client{ID: "a", Issuer: suite.Issuer, Metadata: json.RawMessage(`{"client_name":"b"}`), RegistrationTokenHash: suite.Hash("new token")}
		secret := suite.Hash("new secret")
		changed.SecretHash = &secret
		rev, err := f.Store.UpdateClient(suite.Ctx(), changed, c.RegistrationTokenHash, false, f.Now)
		f.Must(err)
		f.Equal(rev, storage.Revocation{})
		got, err := f.Store.Client(suite.Ctx(), "a", f.Now)
		f.Must(err)
		old.Metadata, old.SecretHash, old.RegistrationTokenHash = changed.Metadata, &secret, changed.RegistrationTokenHash
		f.Equal(got, old)
	},
	"update needs the current token and the issuer": func(f *fixture) {
		c := f.Register("a")
		_, err := f.Store.UpdateClient(suite.Ctx(), c, suite.Hash("old token"), true, f.Now)
		f.WantError(err, storage.ErrNotFound)
		foreign := c
		foreign.Issuer = suite.OtherIssuer
		_, err = f.Store.UpdateClient(suite.Ctx(), foreign, c.RegistrationTokenHash, true, f.Now)
		f.WantError(err, storage.ErrNotFound)
		_, err = f.Store.UpdateClient(suite.Ctx(), f.Client("b"), suite.Hash("registration token of b"), true, f.Now)
		f.WantError(err, storage.ErrNotFound)
		got, err := f.Store.Client(suite.Ctx(), "a", f.Now)
		f.Must(err)
		f.Equal(got, c)
	},
}

package suite

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

var Bob = storage.Identity{Kind: "user_id", Subject: "user_id:bob", Name: "bob"}

// AliceAnew is whoever was given alice's name and another key.
var AliceAnew = storage.Identity{Kind: Alice.Kind, Subject: Alice.Subject, Name: Alice.Name, Proof: "another"}

// ApproveNothing takes a flow to a refusal.
func (f *Fixture) ApproveNothing(id string) {
	f.Helper()
	_, err := f.Store.SaveFlow(Ctx(), f.Flow(id), f.Now)
	f.Must(err)
	sub := f.Submission(id, "a")
	sub.Grant, sub.Code = nil, nil
	v, err := f.Store.SubmitFlow(Ctx(), sub)
	f.Verdict(v, err, storage.OK)
}

// NothingApproved checks that a flow has neither grant nor code.
func (f *Fixture) NothingApproved(id string) {
	f.Helper()
	_, err := f.Store.Grant(Ctx(), "g-"+id, f.Now)
	f.WantError(err, storage.ErrNotFound)
	_, err = f.Store.Code(Ctx(), Hash("code %s", id), f.Now)
	f.WantError(err, storage.ErrNotFound)
}

// ApproveUnproved approves a client as somebody without proof at an address.
func (f *Fixture) ApproveUnproved(clientID, address string, max int) storage.Submission {
	f.Helper()
	flow := fmt.Sprint(clientID, " from ", address, " at ", f.Now)
	v, err := f.Store.SaveFlow(Ctx(), f.Flow(flow), f.Now)
	f.Verdict(v, err, storage.OK)
	sub := f.Submission(flow, clientID)
	sub.KeepClient, sub.Quota = 0, &storage.Quota{Key: Hash("%s", address), Max: max}
	v, err = f.Store.SubmitFlow(Ctx(), sub)
	f.Verdict(v, err, storage.OK)
	return sub
}

// Used tells whether a one-time value was used.
func (f *Fixture) Used(value string, want bool) {
	f.Helper()
	got, err := f.Store.Used(Ctx(), storage.HashOf(value), f.Now)
	f.Must(err)
	f.Equal(got, want)
}

func IDs(grants []storage.Grant) (all []string) {
	for _, g := range grants {
		all = append(all, g.ID)
	}
	return all
}

func (f *Fixture) SiteValue(name string) storage.SiteValue {
	return storage.SiteValue{Issuer: Issuer, Name: name, Text: "text of " + name}
}

// Change lets the client of a grant use one tool alone.
func (f *Fixture) Change(id, tool string) storage.GrantChange {
	return storage.GrantChange{ID: "g-" + id, Issuer: Issuer, Subject: Alice.Subject, Chosen: Choose(tool), Now: f.Now}
}

// Choose is the choice of these tools alone.
func Choose(tools ...string) []storage.Choice {
	return []storage.Choice{{Resource: Resource, Tools: tools, Others: storage.NoOthers}}
}

// SigningIn is the submission of a flow in a browser that has the session
// "before" and gets the flow's name as its cookie.
func (f *Fixture) SigningIn(id string) storage.Submission {
	f.Helper()
	v, err := f.Store.SaveFlow(Ctx(), f.Flow(id), f.Now)
	f.Verdict(v, err, storage.OK)
	f.Must(f.Store.CreateBrowserSession(Ctx(), f.BrowserSession("before", Bob)))
	sub := f.Submission(id, "a")
	b := f.BrowserSession(id, Alice)
	b.Replaces = Hash("cookie before")
	sub.Browser = &b
	return sub
}

func (f *Fixture) BrowserSession(name string, who storage.Identity) storage.SignIn {
	return storage.SignIn{BrowserSession: storage.BrowserSession{
		Hash: Hash("cookie %s", name), Issuer: Issuer, Identity: who, CreatedAt: f.Now,
		ExpiresAt: f.Now.Add(30 * 24 * time.Hour),
	}}
}

// SignedIn tells whether a browser session lives.
func (f *Fixture) SignedIn(name string, want bool) {
	f.Helper()
	_, err := f.Store.BrowserSession(Ctx(), Hash("cookie %s", name), f.Now)
	if err != nil && err != storage.ErrNotFound {
		f.Fatal(err)
	}
	f.Equal(err == nil, want)
}

// VirtualKey is new, for every server.
func (f *Fixture) VirtualKey(name string) storage.VirtualKey {
	return storage.VirtualKey{
		Issuer: Issuer, Look: strings.ToLower(name), Name: name, Hash: Hash("key of %s", name), CreatedAt: f.Now,
	}
}

// AnotherSeal is a seal anew: what it returns for its own is nil.
func AnotherSeal(v storage.SealedValue) []byte {
	if bytes.HasPrefix(v.Sealed, []byte("anew ")) {
		return nil
	}
	return append([]byte("anew "), v.Sealed...)
}

package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

// Life takes a client through registration, sign-in and refresh, and a person
// to a provider and to the account page. It returns every secret on
// the way, for a search in what the store keeps. sealUnder seals the token
// response, as seal.Under does.
func Life(t *testing.T, s storage.Store, sealUnder func(secret string, plaintext []byte, context ...string) []byte) []string {
	f := newFixture(t, s)
	const client = "canary-client"
	secret := func(what string) string { return "canary-" + what + "-0123456789abcdef" }

	c := f.Client(client)
	clientSecret := storage.HashOf(secret("client-secret"))
	c.SecretHash = &clientSecret
	c.RegistrationTokenHash = storage.HashOf(secret("registration-token"))
	f.Must(s.CreateClient(suite.Ctx(), c, storage.Unused{}))

	_, err := s.SaveFlow(suite.Ctx(), f.Flow("1"), f.Now)
	f.Must(err)
	sub := f.Submission("1", client)
	sub.Code.Hash = storage.HashOf(secret("code"))
	v, err := s.SubmitFlow(suite.Ctx(), sub)
	f.Verdict(v, err, storage.OK)

	claim := f.Claim("1", client)
	claim.Hash = sub.Code.Hash
	claim.Issue.Access.Hash = storage.HashOf(secret("access-0"))
	claim.Issue.Refresh.Hash = storage.HashOf(secret("refresh-0"))
	res, err := s.ClaimCode(suite.Ctx(), claim)
	f.Verdict(res.Verdict, err, storage.OK)

	r := f.Rotation("1", client, 1)
	r.Hash = claim.Issue.Refresh.Hash
	r.Issue.Access.Hash = storage.HashOf(secret("access-1"))
	r.Issue.Refresh.Hash = storage.HashOf(secret("refresh-1"))
	r.Replay = sealUnder(secret("refresh-0"), fmt.Appendf(nil, "%s %s", secret("access-1"), secret("refresh-1")))
	f.Rotate(r, storage.OK)

	state := f.ConnectState("1", suite.Alice.Subject, "notion")
	state.Hash, state.Browser = storage.HashOf(secret("state")), storage.HashOf(secret("connect-cookie"))
	f.Must(s.SaveConnectState(suite.Ctx(), state))
	b := f.BrowserSession("1", suite.Alice)
	b.Hash = storage.HashOf(secret("browser-cookie"))
	f.Must(s.CreateBrowserSession(suite.Ctx(), b))

	k := f.VirtualKey("canary")
	k.Hash, k.Former = storage.HashOf(secret("virtual-key")), new(storage.HashOf(secret("former-virtual-key")))
	_, v, err = s.PutVirtualKey(suite.Ctx(), k)
	f.Verdict(v, err, storage.OK)

	return []string{
		secret("virtual-key"), secret("former-virtual-key"),
		secret("client-secret"), secret("registration-token"), secret("code"),
		secret("access-0"), secret("refresh-0"), secret("access-1"), secret("refresh-1"),
		secret("state"), secret("connect-cookie"), secret("browser-cookie"),
	}
}

// LostResponse signs in and refreshes, and returns the rotation, whose
// response a client may ask for again within a minute of now.
func LostResponse(t *testing.T, s storage.Store, now time.Time) storage.Rotation {
	f := newFixture(t, s)
	f.Now = now
	f.SignIn("1", "a")
	r := f.Rotation("1", "a", 1)
	f.Rotate(r, storage.OK)
	return r
}

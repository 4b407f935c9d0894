package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Life takes a client through registration, sign-in and refresh, and a person
// on a trip to a provider and to the account page. It returns every secret on
// the way, for a search in what the store keeps. sealUnder seals the token
// response, as seal.Under does.
func Life(t *testing.T, s storage.Store, sealUnder func(secret string, plaintext []byte, context ...string) []byte) []string {
	f := newFixture(t, s)
	const client = "canary-client"
	secret := func(what string) string { return "canary-" + what + "-0123456789abcdef" }

	c := f.client(client)
	clientSecret := storage.HashOf(secret("client-secret"))
	c.SecretHash = &clientSecret
	c.RegistrationTokenHash = storage.HashOf(secret("registration-token"))
	f.must(s.CreateClient(ctx(), c, storage.Unused{}))

	_, err := s.SaveFlow(ctx(), f.flow("1"), f.now)
	f.must(err)
	sub := f.submission("1", client)
	sub.Code.Hash = storage.HashOf(secret("code"))
	v, err := s.SubmitFlow(ctx(), sub)
	f.verdict(v, err, storage.OK)

	claim := f.claim("1", client)
	claim.Hash = sub.Code.Hash
	claim.Issue.Access.Hash = storage.HashOf(secret("access-0"))
	claim.Issue.Refresh.Hash = storage.HashOf(secret("refresh-0"))
	res, err := s.ClaimCode(ctx(), claim)
	f.verdict(res.Verdict, err, storage.OK)

	r := f.rotation("1", client, 1)
	r.Hash = claim.Issue.Refresh.Hash
	r.Issue.Access.Hash = storage.HashOf(secret("access-1"))
	r.Issue.Refresh.Hash = storage.HashOf(secret("refresh-1"))
	r.Replay = sealUnder(secret("refresh-0"), fmt.Appendf(nil, "%s %s", secret("access-1"), secret("refresh-1")))
	f.rotate(r, storage.OK)

	trip := f.trip("1", alice.Subject, "notion")
	trip.Hash, trip.Browser = storage.HashOf(secret("state")), storage.HashOf(secret("trip-cookie"))
	f.must(s.SaveConnectState(ctx(), trip))
	b := f.browserSession("1", alice)
	b.Hash = storage.HashOf(secret("browser-cookie"))
	f.must(s.CreateBrowserSession(ctx(), b))

	return []string{
		secret("client-secret"), secret("registration-token"), secret("code"),
		secret("access-0"), secret("refresh-0"), secret("access-1"), secret("refresh-1"),
		secret("state"), secret("trip-cookie"), secret("browser-cookie"),
	}
}

// LostResponse signs in and refreshes, and returns the rotation, whose
// response a client may ask for again within a minute of now.
func LostResponse(t *testing.T, s storage.Store, now time.Time) storage.Rotation {
	f := newFixture(t, s)
	f.now = now
	f.signIn("1", "a")
	r := f.rotation("1", "a", 1)
	f.rotate(r, storage.OK)
	return r
}

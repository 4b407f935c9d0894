package clients

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest"
)

func TestAssertionClaims(t *testing.T) {
	s := newSigner(t, jose.ES256, "k")
	at := func(d time.Duration) int64 { return testStart.Add(d).Unix() }
	for name, tc := range map[string]struct {
		claims  any
		refused string // why; empty if it is not
	}{
		"issuer as audience":                  {claims(), ""},
		"C07 token endpoint as audience":      {claims("aud", testTokenEndpoint), ""},
		"C07 audience in a list":              {claims("aud", []string{testIssuer}), "wrong type: aud"},
		"C07 one audience more":               {claims("aud", []string{testIssuer, "https://other.example"}), "wrong type: aud"},
		"C07 another server's token endpoint": {claims("aud", "https://other.example/token"), "aud must be this server alone"},
		"C07 issuer with a slash":             {claims("aud", testIssuer+"/"), "aud must be this server alone"},
		"C07 token endpoint with a query":     {claims("aud", testTokenEndpoint+"?x"), "aud must be this server alone"},
		"C07 no audience":                     {claims("aud", nil), "aud must be this server alone"},
		"C10 iss is another":                  {claims("iss", "app"), "iss and sub must be the client"},
		"C10 sub is another":                  {claims("sub", "app"), "iss and sub must be the client"},
		"C10 no iss":                          {claims("iss", nil), "iss and sub must be the client"},
		"C10 no sub":                          {claims("sub", nil), "iss and sub must be the client"},
		"C08 no jti":                          {claims("jti", nil), "jti is missing or too long"},
		"C08 empty jti":                       {claims("jti", ""), "jti is missing or too long"},
		"C08 long jti":                        {claims("jti", strings.Repeat("x", 300)), "jti is missing or too long"},
		"C08 no exp":                          {claims("exp", nil), "exp is past or more than five minutes away"},
		"C08 five minutes":                    {claims("exp", at(5*time.Minute)), ""},
		"C08 five minutes and a slow clock":   {claims("exp", at(5*time.Minute+30*time.Second)), ""},
		"C08 six minutes":                     {claims("exp", at(6*time.Minute)), "exp is past or more than five minutes away"},
		"C08 past":                            {claims("exp", at(-time.Minute)), "exp is past or more than five minutes away"},
		"C08 just past, clocks differ":        {claims("exp", at(-20*time.Second)), ""},
		"exp in a fraction":                   {claims("exp", float64(at(time.Minute))+0.5), ""},
		"exp as text":                         {claims("exp", "2030"), "wrong type: exp"},
		"exp beyond time":                     {claims("exp", 1e300), "exp is past or more than five minutes away"},
		"exp before time":                     {claims("exp", -1e300), "exp is past or more than five minutes away"},
		"nbf in the future":                   {claims("nbf", at(2*time.Minute)), "nbf or iat is in the future"},
		"iat in the future":                   {claims("iat", at(2*time.Minute)), "nbf or iat is in the future"},
		"no iat":                              {claims("iat", nil), ""},
		"G08 claims twice":                    {`{"iss":"signer","sub":"signer","aud":"` + testIssuer + `","AUD":"x","jti":"1","exp":` + fmt.Sprint(at(time.Minute)) + `}`, "member names repeat"},
		"no JSON":                             {"x", "not one JSON object"},
	} {
		t.Run(name, func(t *testing.T) {
			ts := newAssertionSite(t, oauth.ClientMetadata{JWKS: keySet(t, s.public())})
			err := ts.assert(s.sign(t, tc.claims), "client_id", "signer")
			if tc.refused != "" {
				refusedBecause(t, err, "invalid_client", tc.refused)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("C10 client_id is another client", func(t *testing.T) {
		ts := newAssertionSite(t, oauth.ClientMetadata{JWKS: keySet(t, s.public())})
		ts.reload(func(c *siteConfig) {
			other := c.Clients[len(c.Clients)-1]
			other.ID = "other"
			c.Clients = append(c.Clients, other)
		})
		refusedBecause(t, ts.assert(s.sign(t, claims()), "client_id", "other"), "invalid_client", "iss and sub must be the client")
	})
}

func TestAssertionReplay_C08(t *testing.T) {
	s := newSigner(t, jose.ES256, "k")
	ts := newAssertionSite(t, oauth.ClientMetadata{JWKS: keySet(t, s.public())})
	assertion := s.sign(t, claims("jti", "once"))
	if err := ts.assert(assertion); err != nil {
		t.Fatal(err)
	}
	refusedBecause(t, ts.assert(assertion), "invalid_client", "used before")
	refusedBecause(t, ts.assert(s.sign(t, claims("jti", "once", "iat", nil))), "invalid_client", "used before")
	// Another instance on the same store.
	ts.reload(func(*siteConfig) {})
	refusedBecause(t, ts.assert(assertion), "invalid_client", "used before")
	// As long as the assertion passes by time, its use is remembered.
	ts.clock.Advance(time.Minute + assertionSkew - time.Second)
	if _, err := ts.store.Sweep(context.Background(), ts.clock.Now()); err != nil {
		t.Fatal(err)
	}
	refusedBecause(t, ts.assert(assertion), "invalid_client", "used before")
	// What is not signed by the client uses up nothing.
	stranger := newSigner(t, jose.ES256, "k")
	victim := claims("jti", "mine", "exp", ts.clock.Now().Add(time.Minute).Unix())
	refusedBecause(t, ts.assert(stranger.sign(t, maps.Clone(victim))), "invalid_client", "signed by none of the keys")
	if err := ts.assert(s.sign(t, victim)); err != nil {
		t.Errorf("a stranger used up the client's jti: %v", err)
	}
}

func TestAssertionStoreFails_E16(t *testing.T) {
	s := newSigner(t, jose.ES256, "k")
	ts := newAssertionSite(t, oauth.ClientMetadata{JWKS: keySet(t, s.public())})
	ts.store.Fail("UseOnce")
	if err := ts.assert(s.sign(t, claims())); !errors.Is(err, storetest.ErrDisk) || oauth.AsError(err).Status != http.StatusServiceUnavailable {
		t.Errorf("got %v", err)
	}
}

// Each assertion is recorded until it ends: a client that nobody vouched for
// must not fill the disk with them.
func TestAssertionsAreLimited_I21(t *testing.T) {
	s := newSigner(t, jose.ES256, "k")
	ts := newTestSite(t)
	ts.stopLimits()
	reg := ts.register(`{"redirect_uris":["https://c.example/cb"],"token_endpoint_auth_method":"private_key_jwt","jwks":` + string(keySet(t, s.public())) + `}`)
	for n := range assertionsPerMinute {
		if err := ts.assert(s.sign(t, claims("iss", reg, "sub", reg))); err != nil {
			t.Fatalf("assertion %d: %v", n, err)
		}
	}
	ts.store.Called()
	if err := ts.assert(s.sign(t, claims("iss", reg, "sub", reg))); err == nil || oauth.AsError(err).Status != http.StatusTooManyRequests {
		t.Errorf("one more: %v", err)
	}
	if called := ts.store.Called(); slices.Contains(called, "UseOnce") {
		t.Errorf("it was written down: %v", called)
	}
}

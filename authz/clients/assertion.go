package clients

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/jwks"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/strictjson"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// AssertionAlgorithms are the signatures accepted from clients that
// authenticate with private_key_jwt (RFC 7523 section 2.2).
var AssertionAlgorithms = []jose.SignatureAlgorithm{jose.ES256, jose.EdDSA, jose.PS256, jose.RS256}

// keyRules says which keys clients may have.
var keyRules = jwks.Rules{Algorithms: AssertionAlgorithms, MaxLen: maxKeySetLen, MaxKeys: 20}

const (
	maxKeySetLen         = 64 << 10
	maxAssertionLen      = 16 << 10
	maxAssertionLifetime = 5 * time.Minute
	// assertionSkew is how far a client's clock may be off.
	assertionSkew = 30 * time.Second
	maxJTILen     = 256
	// assertionsPerMinute is how many assertions of one client are accepted,
	// each of which is recorded, unless an operator registered it.
	assertionsPerMinute = 120
)

var errTooManyAssertions = &oauth.Error{
	Status: http.StatusTooManyRequests, Code: "temporarily_unavailable",
	Description: "The client sent too many assertions; try again shortly.",
}

// assertionClaims are those of RFC 7523 section 3. An audience must be one
// text: a list would let an assertion made for us also serve elsewhere.
type assertionClaims struct {
	Issuer    string            `json:"iss"`
	Subject   string            `json:"sub"`
	Audience  string            `json:"aud"`
	ID        string            `json:"jti"`
	ExpiresAt oauth.NumericDate `json:"exp"`
	NotBefore oauth.NumericDate `json:"nbf"`
	IssuedAt  oauth.NumericDate `json:"iat"`
}

// readAssertion reads a client assertion (RFC 7521 section 4.2). It names the
// client where the request does not; that is verified later.
func (p *presented) readAssertion(form url.Values) error {
	p.method, p.assertion = oauth.AuthPrivateKeyJWT, form.Get("client_assertion")
	if form.Get("client_assertion_type") != oauth.JWTBearerAssertion {
		return p.refuse(oauth.NewError("invalid_client", "The client_assertion_type is not supported."))
	}
	jws, err := parseAssertion(p.assertion)
	if err != nil {
		return p.refuse(refusedAssertion(err))
	}
	if p.clientID != "" {
		return nil
	}
	var claims assertionClaims
	if err := strictjson.Unmarshal(jws.UnsafePayloadWithoutVerification(), maxAssertionLen, &claims); err != nil {
		return p.refuse(refusedAssertion(err))
	}
	p.clientID = claims.Subject
	return nil
}

// parseAssertion parses an assertion without believing it.
func parseAssertion(assertion string) (*jose.JSONWebSignature, error) {
	if len(assertion) > maxAssertionLen {
		return nil, errors.New("too long")
	}
	return jose.ParseSignedCompact(assertion, AssertionAlgorithms)
}

// verifyAssertion checks the assertion of a client (RFC 7523 section 3): its
// signature first, so that only the client itself can use up an identifier.
func (a *Authenticator) verifyAssertion(ctx context.Context, c *Client, assertion string, by Requester) (*storage.OneTime, error) {
	jws, err := parseAssertion(assertion)
	if err != nil {
		return nil, refusedAssertion(err)
	}
	keys, err := a.clientKeys(ctx, c, jws.Signatures[0].Header.KeyID, by)
	if e := tryLater(err); e != nil {
		return nil, e
	}
	if err != nil {
		return nil, refusedAssertion(err)
	}
	payload, err := jwks.Verify(jws, keys)
	if err != nil {
		return nil, refusedAssertion(err)
	}
	var claims assertionClaims
	if err := strictjson.Unmarshal(payload, maxAssertionLen, &claims); err != nil {
		return nil, refusedAssertion(err)
	}
	now, ahead := a.Now(), storage.AheadOf(a.Store)() // by the store's clock all processes judge alike
	if err := claims.check(c.ID, a.Issuer, a.TokenEndpoint, now.Add(ahead)); err != nil {
		return nil, refusedAssertion(err)
	}
	if c.Origin != Preregistered && !a.Attempts.Limiter.Allow("assertion", a.Issuer+" "+c.ID, assertionsPerMinute) {
		return nil, errTooManyAssertions
	}
	once := storage.HashOf("client assertion\x00" + a.Issuer + "\x00" + c.ID + "\x00" + claims.ID)
	return &storage.OneTime{Hash: once, ExpiresAt: claims.ExpiresAt.Time().Add(assertionSkew - ahead)}, nil
}

// ErrAssertionUsed tells End that a verb answered storage.AlreadyUsed.
var ErrAssertionUsed = errors.New("clients: the assertion was used before")

// UsesUp returns what the verb is to use up that decides what the client gets, once:
// nil if there is nothing.
func (c *Authenticated) UsesUp() *storage.OneTime {
	once := c.once
	c.once = nil
	return once
}

// End returns what a request comes to that ended with an error, or nil. An assertion
// that no verb used up is used up now: it is good for one request, whatever becomes
// of that.
func (a *Authenticator) End(r *http.Request, c *Authenticated, err error) error {
	if once := c.UsesUp(); once != nil {
		first, failed := a.Store.UseOnce(r.Context(), once.Hash, once.ExpiresAt, a.Now())
		if failed != nil {
			return failed
		}
		if !first {
			err = ErrAssertionUsed
		}
	}
	if !errors.Is(err, ErrAssertionUsed) {
		return err
	}
	p := presented{method: oauth.AuthPrivateKeyJWT}
	return p.refuse(a.count(r, c.Client, refusedAssertion(errors.New("used before"))))
}

// check applies the rules for the claims. The audience is our issuer or our
// token endpoint: anything else was made for another server, which may now be
// passing it on.
func (claims *assertionClaims) check(clientID, issuer, tokenEndpoint string, now time.Time) error {
	if claims.Issuer != clientID || claims.Subject != clientID {
		return errors.New("iss and sub must be the client")
	}
	if claims.Audience != issuer && claims.Audience != tokenEndpoint {
		return errors.New("aud must be this server alone")
	}
	if claims.ID == "" || len(claims.ID) > maxJTILen {
		return errors.New("jti is missing or too long")
	}
	expires := claims.ExpiresAt.Time()
	if !now.Before(expires.Add(assertionSkew)) || expires.After(now.Add(maxAssertionLifetime+assertionSkew)) {
		return errors.New("exp is past or more than five minutes away")
	}
	if latest := now.Add(assertionSkew); claims.NotBefore.Time().After(latest) || claims.IssuedAt.Time().After(latest) {
		return errors.New("nbf or iat is in the future")
	}
	return nil
}

// clientKeys returns the keys of a client that an assertion may be signed
// with. An unknown key ID makes a key set be fetched again, at most once a
// minute: the client may have rotated its keys.
func (a *Authenticator) clientKeys(ctx context.Context, c *Client, keyID string, by Requester) ([]jose.JSONWebKey, error) {
	if c.Metadata.JWKSURI == "" {
		all, err := keyRules.Parse(c.Metadata.JWKS)
		return jwks.ByID(all, keyID), err
	}
	by.Known = by.Known || c.Origin == Preregistered
	all, err := a.Directory.keySets.get(ctx, c.Metadata.JWKSURI, by)
	if err != nil {
		return nil, err
	}
	if by.Known {
		a.Directory.keySets.use(c.Metadata.JWKSURI)
	}
	if keys := jwks.ByID(all, keyID); len(keys) > 0 {
		return keys, nil
	}
	all, err = a.Directory.keySets.newerThan(ctx, c.Metadata.JWKSURI, by, a.Now())
	return jwks.ByID(all, keyID), err
}

func refusedAssertion(cause error) *oauth.Error {
	e := oauth.NewError("invalid_client", "The client assertion was not accepted.")
	e.Cause = cause
	return e
}

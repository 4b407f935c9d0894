package dashboard

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/jwks"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// maxLen is how many bytes a token may have.
const maxLen = 8 << 10

// rules are for the keys of a dashboard. All algorithms are asymmetric: a public
// key can never be replayed as a shared secret.
var rules = jwks.Rules{
	Algorithms: []jose.SignatureAlgorithm{jose.ES256, jose.ES384, jose.EdDSA, jose.RS256, jose.PS256},
	MaxLen:     64 << 10, MaxKeys: 20,
}

// secretAlgorithms are for a dashboard that shares a secret with this site, and
// for no other.
var secretAlgorithms = []jose.SignatureAlgorithm{jose.HS256}

// Trust is whose word is taken, and for what.
type Trust struct {
	// Issuer and Audience are what a token must have as iss and in aud.
	Issuer, Audience string
	// JWKSURI, Keys and Secret are what a token is verified with: one of them.
	JWKSURI string
	Keys    []jose.JSONWebKey
	Secret  []byte
	// Claims are the names of those that are kept of a token.
	Claims []string
}

// Person is whom a token is about.
type Person struct {
	// Subject is what the dashboard calls them, for ever.
	Subject string
	Claims  *storage.Claims
}

// ErrToken is the error for a token that is not good. What wraps it says why, for
// the log alone, and has nothing of the token in it.
var ErrToken = errors.New("the token of the dashboard is not good")

func refused(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrToken}, args...)...)
}

// Verifier verifies the tokens of one dashboard.
type Verifier struct {
	trust      Trust
	algorithms []jose.SignatureAlgorithm
	verify     func(context.Context, *jose.JSONWebSignature) ([]byte, error)
	now        func() time.Time
}

// New returns the verifier for a dashboard. fetch gets a document of at most
// limit bytes.
func New(t Trust, fetch func(ctx context.Context, url string, limit int64) (*egress.Document, error), now func() time.Time) *Verifier {
	v := &Verifier{trust: t, algorithms: rules.Algorithms, now: now}
	switch {
	case len(t.Secret) > 0:
		v.algorithms = secretAlgorithms
		v.verify = func(_ context.Context, jws *jose.JSONWebSignature) ([]byte, error) { return jws.Verify(t.Secret) }
	case t.JWKSURI != "":
		v.verify = (&jwks.Remote{Rules: rules, URL: t.JWKSURI, Fetch: fetch, Now: now}).Verify
	default:
		v.verify = func(_ context.Context, jws *jose.JSONWebSignature) ([]byte, error) {
			return jwks.Verify(jws, jwks.ByID(t.Keys, jws.Signatures[0].Header.KeyID))
		}
	}
	return v
}

// ParseKeys reads public keys: a JWK set.
func ParseKeys(text string) ([]jose.JSONWebKey, error) { return rules.Parse([]byte(text)) }

// Verify returns whom a token is about. The error is ErrToken for one that is not
// good; any other is that the keys of the dashboard cannot be had.
func (v *Verifier) Verify(ctx context.Context, token string) (Person, error) {
	if len(token) > maxLen {
		return Person{}, refused("it is longer than %d bytes", maxLen)
	}
	jws, err := jose.ParseSignedCompact(token, v.algorithms)
	if err != nil {
		return Person{}, refused("%v", parseProblem(err))
	}
	if err := checkType(jws.Signatures[0].Header); err != nil {
		return Person{}, err
	}
	payload, err := v.verify(ctx, jws)
	if errors.Is(err, jwks.ErrSignature) || errors.Is(err, jose.ErrCryptoFailure) {
		return Person{}, refused("its signature is by no key of the dashboard")
	}
	if err != nil {
		return Person{}, err
	}
	return v.read(payload)
}

// parseProblem names what is wrong with what could not be parsed, without any of it.
func parseProblem(err error) string {
	if unexpected := (*jose.ErrUnexpectedSignatureAlgorithm)(nil); errors.As(err, &unexpected) {
		return "its algorithm is not one that this kind of key signs with"
	}
	return "it is not a signed JWT"
}

// checkType takes tokens that say they are a JWT, or nothing. What another kind of
// token says (RFC 8725 section 3.11), such as an access token of this site or of
// an identity provider, is not said to sign somebody in here.
func checkType(h jose.Header) error {
	typ, given := h.ExtraHeaders[jose.HeaderType]
	if text, ok := typ.(string); !given || ok && strings.EqualFold(strings.TrimPrefix(text, "application/"), "JWT") {
		return nil
	}
	return refused("its typ is not JWT")
}

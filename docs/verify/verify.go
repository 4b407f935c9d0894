// Package verify is for an MCP server behind the site: it verifies who calls. Copy
// it.
package verify

import (
	"context"
	"errors"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

const (
	algorithm = jose.EdDSA         // the site's option signing
	tokenType = "mcp-identity+jwt" // at+jwt for access tokens
	clockSkew = 10 * time.Second
)

// Caller is who calls.
type Caller struct {
	Subject  string   `json:"sub"`
	ClientID string   `json:"client_id"`
	Name     string   `json:"name"`
	Email    string   `json:"email"`
	Groups   []string `json:"groups"`
}

// Verifier verifies what a site says to one server. Make it once.
type Verifier struct{ claims *oidc.IDTokenVerifier }

// New returns the verifier of the server with this URL at the site.
func New(ctx context.Context, site, server string) *Verifier {
	keys := oidc.NewRemoteKeySet(ctx, site+"/.well-known/jwks.json") // kept, and fetched again for an unknown kid
	return &Verifier{oidc.NewVerifier(site, keys, &oidc.Config{
		ClientID: server, SupportedSigningAlgs: []string{string(algorithm)},
		Now: func() time.Time { return time.Now().Add(-clockSkew) },
	})}
}

// Verify returns who calls. Without an error, the site said so, to this server,
// just now.
func (v *Verifier) Verify(ctx context.Context, token string) (*Caller, error) {
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{algorithm})
	if err != nil {
		return nil, err
	}
	if signed.Signatures[0].Protected.ExtraHeaders[jose.HeaderType] != tokenType {
		return nil, errors.New("this is another kind of token")
	}
	verified, err := v.claims.Verify(ctx, token) // signature, alg, kid, iss, aud, exp
	if err != nil {
		return nil, err
	}
	caller := new(Caller)
	if err := verified.Claims(caller); err != nil {
		return nil, err
	}
	if caller.Subject == "" {
		return nil, errors.New("the token is about nobody")
	}
	return caller, nil
}

package workload

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/jwks"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/strictjson"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const (
	maxTokenLen = 16 << 10
	// skew is how far the issuer's clock may be off.
	skew = 30 * time.Second
	// maxSubject is how long what tells a workload from others may be.
	maxSubject     = 512
	maxMetadataLen = 64 << 10
)

// Refused is the error for a token that is not good. Its Reason is a fixed word for
// the log, as is the text, which has nothing of the token in it.
type Refused struct{ Reason, text string }

func (r *Refused) Error() string { return "the token of the workload: " + r.text }

func refused(reason, text string) error { return &Refused{reason, text} }

// Verifiers verify the tokens of all trusts of a site.
type Verifiers struct {
	all []*verifier
	now func() time.Time
}

type verifier struct {
	Trust
	verify func(context.Context, *jose.JSONWebSignature) ([]byte, error)
}

// Vouched is a service person for whom a token vouches.
type Vouched struct {
	storage.Identity
	Trust *Trust
}

// New returns the verifiers of trusts. operator fetches what the configuration
// names, for trusts that bring no certificate authorities of their own.
func New(trusts []Trust, operator *egress.Client, now func() time.Time) *Verifiers {
	vs := &Verifiers{now: now}
	for _, t := range trusts {
		v := &verifier{Trust: t}
		v.verify = v.verifyByKeys
		if len(t.Keys) == 0 {
			client := operator
			if t.RootCAs != nil {
				client = egress.New(egress.Options{Anywhere: true, RootCAs: t.RootCAs})
			}
			v.verify = remote(t, client, now).Verify
		}
		vs.all = append(vs.all, v)
	}
	return vs
}

func (v *verifier) verifyByKeys(_ context.Context, jws *jose.JSONWebSignature) ([]byte, error) {
	return jwks.Verify(jws, jwks.ByID(v.Keys, jws.Signatures[0].Header.KeyID))
}

// remote returns the keys of an issuer: those at an address or, where none is
// configured, at the one that its metadata names (OpenID Connect Discovery section
// 4).
func remote(t Trust, client *egress.Client, now func() time.Time) *jwks.Remote {
	if t.JWKSURI != "" {
		return &jwks.Remote{Rules: keyRules, URL: t.JWKSURI, Fetch: client.FetchJSON, Now: now}
	}
	return &jwks.Remote{Rules: keyRules, URL: t.Issuer, Now: now, Fetch: func(ctx context.Context, issuer string, limit int64) (*egress.Document, error) {
		document, err := client.FetchJSON(ctx, strings.TrimSuffix(issuer, "/")+oauth.OpenIDConfigurationPath, maxMetadataLen)
		if err != nil {
			return nil, err
		}
		var metadata struct {
			Issuer  string `json:"issuer"`
			JWKSURI string `json:"jwks_uri"`
		}
		if err := strictjson.Unmarshal(document.Body, maxMetadataLen, &metadata); err != nil {
			return nil, err
		}
		secure := strings.HasPrefix(metadata.JWKSURI, "https://") || strings.HasPrefix(issuer, "http://")
		if metadata.Issuer != issuer || !secure {
			return nil, errors.New("the metadata of the issuer is not its own, or names no https address of keys")
		}
		return client.FetchJSON(ctx, metadata.JWKSURI, limit)
	}}
}

// registered are claims with a meaning of their own (RFC 7519 section 4.1).
type registered struct {
	Issuer    *string            `json:"iss"`
	Subject   string             `json:"sub"`
	Audience  oauth.Strings      `json:"aud"`
	Expires   *oauth.NumericDate `json:"exp"`
	NotBefore *oauth.NumericDate `json:"nbf"`
	IssuedAt  *oauth.NumericDate `json:"iat"`
}

// Verify returns the service person for whom a token vouches, by the first trust
// that takes it. The error is a *Refused for one that none takes; any other is that
// the keys of an issuer cannot be had.
func (vs *Verifiers) Verify(ctx context.Context, token string) (Vouched, error) {
	if len(token) > maxTokenLen {
		return Vouched{}, refused("malformed", "it is too long")
	}
	jws, err := jose.ParseSignedCompact(token, keyRules.Algorithms)
	if err != nil {
		return Vouched{}, refused("malformed", "it is not a JWT that is signed with one of the algorithms that are accepted")
	}
	if !isJWT(jws.Signatures[0].Header) {
		return Vouched{}, refused("malformed", "its typ is that of another kind of token")
	}
	var claimed registered
	if err := strictjson.Unmarshal(jws.UnsafePayloadWithoutVerification(), maxTokenLen, &claimed); err != nil {
		return Vouched{}, refused("malformed", "its claims cannot be read")
	}
	err = refused("unknown_issuer", "no identity workload is about its issuer")
	for _, v := range vs.all {
		if !v.isAbout(&claimed) {
			continue
		}
		var id storage.Identity
		if id, err = v.identify(ctx, jws, vs.now()); err == nil {
			return Vouched{id, &v.Trust}, nil
		}
	}
	return Vouched{}, err
}

// isJWT reports whether a token says that it is a JWT, or nothing. What another kind
// of token says, such as an access token, is not said of a workload (RFC 8725 section
// 3.11).
func isJWT(h jose.Header) bool {
	typ, given := h.ExtraHeaders[jose.HeaderType]
	text, _ := typ.(string)
	text = strings.TrimPrefix(strings.ToUpper(text), "APPLICATION/")
	return !given || text == "JWT" || text == "JOSE" // of a JWT-SVID
}

// isAbout reports whether the trust is about the issuer of a token.
func (v *verifier) isAbout(r *registered) bool {
	if v.isSPIFFE() {
		return strings.HasPrefix(r.Subject, v.Issuer+"/")
	}
	return r.Issuer != nil && *r.Issuer == v.Issuer
}

// identify verifies a token, and returns whose it is.
func (v *verifier) identify(ctx context.Context, jws *jose.JSONWebSignature, now time.Time) (storage.Identity, error) {
	payload, err := v.verify(ctx, jws)
	if errors.Is(err, jwks.ErrSignature) {
		return storage.Identity{}, refused("signature", "it is signed by none of its issuer's keys")
	}
	if err != nil {
		return storage.Identity{}, err
	}
	var r registered
	var all identity.RawClaims
	if strictjson.Unmarshal(payload, maxTokenLen, &r) != nil || json.Unmarshal(payload, &all) != nil {
		return storage.Identity{}, refused("malformed", "its claims cannot be read")
	}
	if err := v.check(&r, now); err != nil {
		return storage.Identity{}, err
	}
	if wrong, ok := v.Rules.match(all); !ok {
		return storage.Identity{}, refused("not_allowed", "its claim "+wrong+" is not one that is allowed")
	}
	var name string
	if json.Unmarshal(all.Find(v.NameClaim), &name) != nil || !isName(name) {
		return storage.Identity{}, refused("no_name", "its claim "+v.NameClaim+", which is to tell the workload from others, is missing or unusable")
	}
	return v.identityOf(name), nil
}

func (v *verifier) check(r *registered, now time.Time) error {
	switch {
	case !v.isAbout(r):
		return refused("unknown_issuer", "it has another issuer")
	case v.isSPIFFE() && !isSPIFFEPath(strings.TrimPrefix(r.Subject, v.Issuer)):
		return refused("malformed", "its sub is not a SPIFFE ID")
	case !slices.Contains(r.Audience, v.Audience):
		return refused("audience", "it was made for another audience")
	case r.Expires == nil:
		return refused("expired", "it has no exp")
	case !now.Before(r.Expires.Time().Add(skew)):
		return refused("expired", "it has expired")
	case r.NotBefore != nil && r.NotBefore.Time().After(now.Add(skew)):
		return refused("not_yet", "it is not good yet (nbf)")
	case r.IssuedAt != nil && r.IssuedAt.Time().After(now.Add(skew)):
		return refused("not_yet", "it was made in the future (iat)")
	case r.IssuedAt != nil && now.After(r.IssuedAt.Time().Add(v.MaxAge+skew)):
		return refused("too_old", "it was made longer ago than max_age")
	case r.IssuedAt == nil && r.Expires.Time().After(now.Add(v.MaxAge+skew)):
		return refused("too_old", "it does not say when it was made, and is good for longer than max_age")
	}
	return nil
}

// isSPIFFEPath reports whether a text is the path of a SPIFFE ID (SPIFFE-ID section
// 2.2).
func isSPIFFEPath(path string) bool {
	segments := strings.Split(path, "/")
	if len(segments) < 2 || segments[0] != "" {
		return false
	}
	return !slices.ContainsFunc(segments[1:], func(s string) bool {
		return s == "" || s == "." || s == ".." || strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") != ""
	})
}

// isName reports whether an operator who reads what a workload is called sees all of
// it.
func isName(name string) bool {
	return name != "" && len(name) <= maxSubject && strings.TrimSpace(name) == name && !strings.ContainsFunc(name, identity.Invisible)
}

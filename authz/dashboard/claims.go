package dashboard

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/strictjson"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const (
	// skew is how far the dashboard's clock may be off.
	skew = 60 * time.Second
	// maxSubject is how many characters a subject may have (OpenID Connect Core
	// section 2).
	maxSubject = 255
	// maxClaims is how many bytes are kept of what a token says: it is read with
	// each grant.
	maxClaims = 4 << 10
)

// registered are those of RFC 7519 section 4.1.
type registered struct {
	Issuer    string             `json:"iss"`
	Subject   string             `json:"sub"`
	Audience  audience           `json:"aud"`
	Expires   *oauth.NumericDate `json:"exp"`
	NotBefore *oauth.NumericDate `json:"nbf"`
	IssuedAt  *oauth.NumericDate `json:"iat"`
	Verified  any                `json:"email_verified"`
}

// Registered reports whether a claim has a meaning of its own in every JWT, so
// that there is nothing to keep of it.
func Registered(name string) bool {
	return slices.Contains([]string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti"}, name)
}

// audience is one text or several.
type audience []string

func (a *audience) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(a))
}

// read returns the person in a payload whose signature is good.
func (v *Verifier) read(payload []byte) (Person, error) {
	var r registered
	if err := strictjson.Unmarshal(payload, maxLen, &r); err != nil {
		return Person{}, refused("%v", err)
	}
	if err := v.check(&r); err != nil {
		return Person{}, err
	}
	claims, err := v.kept(payload, r.Verified)
	if err != nil {
		return Person{}, err
	}
	return Person{Subject: r.Subject, Claims: claims}, nil
}

func (v *Verifier) check(r *registered) error {
	now := v.now()
	switch {
	case r.Issuer != v.trust.Issuer:
		return refused("its iss is another")
	case !slices.Contains(r.Audience, v.trust.Audience):
		return refused("its aud has not the audience of this site")
	case r.Expires == nil:
		return refused("it has no exp")
	case !now.Before(r.Expires.Time().Add(skew)):
		return refused("it has expired")
	case r.NotBefore != nil && r.NotBefore.Time().After(now.Add(skew)):
		return refused("its nbf is in the future")
	case r.IssuedAt != nil && r.IssuedAt.Time().After(now.Add(skew)):
		return refused("its iat is in the future")
	case !validSubject(r.Subject):
		return refused("its sub is empty, longer than %d characters, or has some that nobody can see", maxSubject)
	}
	return nil
}

// validSubject reports whether an operator who reads a subject sees all of it.
func validSubject(sub string) bool {
	if sub == "" || utf8.RuneCountInString(sub) > maxSubject {
		return false
	}
	for _, r := range sub {
		if !unicode.IsPrint(r) || r == ' ' {
			return false
		}
	}
	return true
}

// kept returns the claims that are to be kept. email is one only if the dashboard
// does not say that it is not verified.
func (v *Verifier) kept(payload []byte, verified any) (*storage.Claims, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(payload, &all); err != nil {
		return nil, refused("%v", err)
	}
	c, size := new(storage.Claims), 0
	for _, name := range v.trust.Claims {
		raw, ok := all[name]
		if !ok || string(raw) == "null" {
			continue
		}
		if size += len(name) + len(raw); size > maxClaims {
			return nil, refused("the claims to keep have more than %d bytes", maxClaims)
		}
		v.keep(c, name, raw, verified == nil || verified == true)
	}
	return c, nil
}

// keep puts a claim into its place: those that have a meaning for rules and
// headers into theirs, unless they are of another type.
func (v *Verifier) keep(c *storage.Claims, name string, raw json.RawMessage, verified bool) {
	switch name {
	case "email":
		var email string
		if json.Unmarshal(raw, &email) == nil && verified && validSubject(email) && strings.Count(email, "@") == 1 {
			c.Email = email
		}
		return
	case "name", "displayName":
		if c.Name == "" {
			_ = json.Unmarshal(raw, &c.Name)
		}
	case "groups":
		var groups []string
		if json.Unmarshal(raw, &groups) == nil {
			c.Groups = slices.DeleteFunc(groups, func(g string) bool { return g == "" })
		}
		return
	}
	if name == "name" {
		return
	}
	if c.Extra == nil {
		c.Extra = map[string]json.RawMessage{}
	}
	c.Extra[name] = slices.Clone(raw)
}

package oidc

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/strictjson"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const (
	maxUserinfoLen = 256 << 10
	// maxGroups and maxClaimsLen bound what is kept of a person.
	maxGroups    = 1000
	maxClaimsLen = 64 << 10
)

// claims are what a provider says of a person, in an ID token, at its UserInfo
// endpoint or in both.
type claims identity.RawClaims

func (c claims) find(path string) json.RawMessage { return identity.RawClaims(c).Find(path) }

// text returns a claim that is a text, or "".
func (c claims) text(path string) string {
	var text string
	if json.Unmarshal(c.find(path), &text) != nil {
		return ""
	}
	return text
}

// isTrue reports whether a claim is true, and nothing that looks like it.
func (c claims) isTrue(path string) bool {
	var is *bool
	return json.Unmarshal(c.find(path), &is) == nil && is != nil && *is
}

// email returns the address that may be kept, or "".
func (c claims) email(policy EmailPolicy) string {
	verified := c.isTrue("email_verified") || policy == TrustedEmail && c["email_verified"] == nil
	address, err := identity.CleanName(c.text("email"))
	if policy == "" || !verified || err != nil || strings.Count(address, "@") != 1 {
		return ""
	}
	return address
}

// groups returns those in a claim: of a list its texts or, as Zitadel writes
// roles, the names of the members of an object of objects. A list of something
// else, and a text by itself, are no groups.
func (c claims) groups(path string) []string {
	raw := c.find(path)
	var list []string
	if json.Unmarshal(raw, &list) != nil {
		var object map[string]map[string]json.RawMessage
		if json.Unmarshal(raw, &object) != nil {
			return nil
		}
		list = slices.Collect(maps.Keys(object))
	}
	list = slices.DeleteFunc(list, func(name string) bool { return name == "" })
	slices.Sort(list)
	return slices.Compact(list)
}

// leavesOutGroups reports whether a person is in more groups than Entra writes
// into a token.
func (c claims) leavesOutGroups(path string) bool {
	if c.find(path) != nil {
		return false
	}
	var names map[string]json.RawMessage
	return json.Unmarshal(c["_claim_names"], &names) == nil && names[path] != nil || c.isTrue("hasgroups")
}

// ofTheToken are the claims that say something about an ID token, or about how
// somebody signed in, and nothing about a person. UserInfo has no say in them.
var ofTheToken = []string{
	"iss", "sub", "aud", "azp", "exp", "iat", "nbf", "jti", "nonce", "auth_time", "acr", "amr", "sid", "at_hash", "c_hash", "typ", "events",
}

// add adds what the UserInfo endpoint says. Whether an address is verified goes
// with the address.
func (c claims) add(more claims) {
	if _, ok := more["email"]; ok {
		delete(c, "email_verified")
	} else {
		delete(more, "email_verified")
	}
	for name, raw := range more {
		if !slices.Contains(ofTheToken, name) {
			c[name] = raw
		}
	}
}

// lacksNeeded reports whether something that is needed is not there.
func (p *Provider) lacksNeeded(c claims) bool {
	needed := p.o.keptClaims()
	if p.o.needsGroups() {
		needed = append(needed, p.o.GroupsClaim)
	}
	if p.o.Email != "" {
		needed = append(needed, "email")
	}
	return c.text("name") == "" && c.text("preferred_username") == "" ||
		slices.ContainsFunc(needed, func(path string) bool { return c.find(path) == nil })
}

// person returns whom an ID token is about, if they may sign in.
func (p *Provider) person(ctx context.Context, at *connected, s *source, token *idToken, tokens *client.Tokens) (identity.Person, error) {
	said := token.claims
	if ask := p.o.Userinfo; s.UserinfoEndpoint != "" && (ask == nil && p.lacksNeeded(said) || ask != nil && *ask) {
		more, err := p.userinfo(ctx, at, s, p.subject(token.Subject), tokens.AccessToken)
		if err != nil {
			return identity.Person{}, err
		}
		said.add(more)
	}
	person, err := p.admit(ctx, token.Subject, said)
	if err != nil {
		return person, err
	}
	person.Session, person.SignOutHint = token.Session, signOutHint(tokens.IDToken)
	person.Secret, err = secretOf(tokens.RefreshToken)
	return person, err
}

const tooManyForEntra = "they are in more groups than Entra writes into a token, so it wrote none; " +
	"under Token configuration of the application there, choose Groups assigned to the application, or use app roles with groups_claim roles"

// admit returns the person whom the claims are about, if they may sign in. It is
// the only way in.
func (p *Provider) admit(ctx context.Context, sub string, said claims) (identity.Person, error) {
	kept, err := p.kept(said)
	if err != nil {
		return identity.Person{}, err
	}
	person := identity.Person{Identity: p.identity(sub, said, kept)}
	leftOut := p.o.needsGroups() && said.leavesOutGroups(p.o.GroupsClaim)
	switch {
	case p.o.Allow.Match(kept) && leftOut:
		p.at.Load().events.Record(ctx, event.Event{
			Kind: event.PersonWithoutGroups, Person: person.Subject, Identity: string(p.kind), Provider: p.o.Issuer, Reason: groupOverage, Detail: tooManyForEntra,
		})
		return person, nil
	case p.o.Allow.Match(kept):
		return person, nil
	case leftOut && p.o.Allow.Needs().Groups:
		return person, p.denyAndWarn(groupOverage, errors.New(tooManyForEntra))
	}
	return person, p.deny(notAllowed, fmt.Errorf("no rule of allow chooses %s", person.Subject))
}

// userinfo asks the UserInfo endpoint (OpenID Connect Core section 5.3). An answer
// about somebody else than the subject is no answer.
func (p *Provider) userinfo(ctx context.Context, at *connected, s *source, subject, accessToken string) (claims, error) {
	doc, err := at.client.FetchJSON(ctx, s.UserinfoEndpoint, accessToken, maxUserinfoLen)
	if errors.Is(err, egress.ErrUnavailable) {
		return nil, &identity.Unavailable{Cause: fmt.Errorf("the UserInfo endpoint: %w", err)}
	}
	var said claims
	if err == nil {
		if err = strictjson.Check(doc.Body, maxUserinfoLen); err == nil {
			err = json.Unmarshal(doc.Body, &said)
		}
	}
	if err != nil {
		return nil, p.denyAndWarn(untrusted, fmt.Errorf("the UserInfo endpoint: %w; if the ID token has all that is needed, write userinfo off", err))
	}
	if sub := said.text("sub"); sub == "" || p.subject(sub) != subject {
		return nil, p.denyAndWarn(untrusted, errors.New("the UserInfo endpoint answered about somebody else than the ID token (sub)"))
	}
	return said, nil
}

// kept returns the claims to keep.
func (p *Provider) kept(said claims) (*storage.Claims, error) {
	kept := &storage.Claims{
		Email: said.email(p.o.Email), Groups: said.groups(p.o.GroupsClaim),
		Name: readable(said.text("name"), said.text("preferred_username")),
	}
	for _, path := range p.o.keptClaims() {
		if raw := said.find(path); raw != nil {
			if kept.Extra == nil {
				kept.Extra = map[string]json.RawMessage{}
			}
			kept.Extra[path] = raw
		}
	}
	text, err := json.Marshal(kept)
	switch {
	case err != nil:
		return nil, err
	case len(kept.Groups) > maxGroups || len(text) > maxClaimsLen:
		return nil, p.denyAndWarn(tooManyGroups, fmt.Errorf("%d groups and %d bytes of claims are more than can be kept, which is %d and %d; "+
			"let the provider send only the groups that matter to this client", len(kept.Groups), len(text), maxGroups, maxClaimsLen))
	}
	return kept, nil
}

// identity returns the identity of a subject of the provider.
func (p *Provider) identity(subject string, said claims, kept *storage.Claims) storage.Identity {
	name := readable(kept.Email, said.text("preferred_username"), kept.Name, subject)
	return storage.Identity{
		Kind: string(p.kind), Subject: p.subject(subject), Name: cmp.Or(name, escape(subject)), Proof: p.proof, Claims: kept,
	}
}

// readable returns the first of the texts that is fit to be shown as a name.
func readable(texts ...string) string {
	for _, text := range texts {
		if name, err := identity.CleanName(text); err == nil {
			return name
		}
	}
	return ""
}

// subject returns what somebody is called among all identities. The name of a
// provider has no colon, so what comes before that of the subject is always the
// same.
func (p *Provider) subject(sub string) string { return string(p.kind) + ":" + escape(sub) }

// escape returns a subject in visible ASCII, which no two have in common: whatever
// is something else, or a per cent sign, is written as in a URL.
func escape(sub string) string {
	var b strings.Builder
	for i := range len(sub) {
		if c := sub[i]; c > ' ' && c < 0x7f && c != '%' {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", sub[i])
	}
	return b.String()
}

package propagation

import (
	"context"
	"encoding/json"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/gate"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/gateway"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// batch is what changes of one moment are about.
type batch struct {
	all         bool
	tokens      map[storage.Hash]bool
	grants      map[string]bool
	people      map[storage.Subject]bool
	connections map[storage.ConnectionKey]bool
	keysOf      map[string]bool // issuers with other virtual keys
}

// apply drops what is remembered of what changed, and then looks at the streams
// whose callers it concerns: they are judged by what there is now.
func (p *Process) apply(ctx context.Context, changes []storage.Change) {
	if len(changes) == 0 {
		return
	}
	b := batch{
		tokens: map[storage.Hash]bool{}, grants: map[string]bool{}, people: map[storage.Subject]bool{},
		connections: map[storage.ConnectionKey]bool{}, keysOf: map[string]bool{},
	}
	for _, c := range changes {
		switch c.Kind {
		case storage.TokensEnded:
			b.end(c.Revocation, p.Tokens)
		case storage.PersonChanged:
			b.people[storage.Subject{Issuer: c.Issuer, Subject: c.Subject}] = true
		case storage.ConnectionChanged:
			b.connections[c.ConnectionKey()] = true
			p.Connections.Forget(c.ConnectionKey())
		case storage.VirtualKeysChanged:
			b.keysOf[c.Issuer] = true
		case storage.SiteValueChanged:
			p.ForgetValue(c.Issuer, c.Name)
		case storage.Announced:
			p.heard(c)
		case storage.ChangesMissed:
			b.all = true
		}
	}
	switch {
	case b.all:
		p.Tokens.ForgetAll()
		p.Connections.ForgetAll()
		p.ForgetValue("", "")
	case len(b.people) > 0:
		p.Tokens.ForgetPeople(b.people)
	}
	if b.all || len(b.keysOf) > 0 {
		p.RefreshKeys(ctx)
	}
	p.Streams.RecheckOf(ctx, p.Serving(), b.concerns)
}

// end drops tokens. Those of a grant that is still good were revoked one by one, of
// which no record is left.
func (b *batch) end(r storage.Revocation, cache *tokens.Cache) {
	for _, h := range r.AccessTokens {
		b.tokens[h] = true
		if len(r.GrantIDs) == 0 {
			cache.Revoked(h)
		}
	}
	for _, id := range r.GrantIDs {
		b.grants[id] = true
	}
	cache.Forget(r)
}

// concerns reports whether a stream may have to end.
func (b *batch) concerns(at gateway.Place, c *tokens.Caller) bool {
	if b.all || b.tokens[c.TokenHash] || b.grants[c.GrantID] {
		return true
	}
	if b.keysOf[at.Site] && c.Identity.Kind == string(identity.VirtualKey) {
		return true
	}
	who := c.Identity.Subject
	return b.people[storage.Subject{Issuer: at.Site, Subject: who}] ||
		b.connections[storage.ConnectionKey{Issuer: at.Site, Owner: who, Server: at.Server}] ||
		b.connections[storage.ConnectionKey{Issuer: at.Site, Owner: storage.SharedOwner, Server: at.Server}]
}

// heard does what another process told. What it cannot read is of another version.
func (p *Process) heard(c storage.Change) {
	switch c.Name {
	case elicitationTold:
		var m gateway.Message
		if json.Unmarshal([]byte(c.Text), &m) == nil {
			p.Elicitations.Told(m)
		}
	case stepUpTold:
		var s gate.SteppedUp
		if json.Unmarshal([]byte(c.Text), &s) == nil {
			p.StepUps.Told(s, time.Now())
		}
	case attemptTold:
		var a accounts.Attempt
		if json.Unmarshal([]byte(c.Text), &a) == nil {
			p.Connections.Told(a, time.Now())
		}
	}
}

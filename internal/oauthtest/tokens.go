package oauthtest

import (
	"fmt"
	"net/url"
	"slices"
	"time"
)

// Issue gives out tokens for an account.
func (p *Provider) Issue(account string) (access, refresh string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.issue(authorization{account: account})
}

// issue gives out tokens. p.mu is held.
func (p *Provider) issue(agreed authorization) (access, refresh string) {
	p.issued++
	name := fmt.Sprint(p.issued)
	if p.TokenName != nil {
		name = p.TokenName(p.issued, agreed.account)
	}
	access, refresh = "at-"+name, "rt-"+name
	p.tokens[access] = &token{authorization: agreed, good: true, ends: p.Now().Add(p.Lifetime)}
	p.tokens[refresh] = &token{authorization: agreed, good: true, access: access}
	return access, refresh
}

// Adopt has a token be an account's that the provider did not give out.
func (p *Provider) Adopt(name, account string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tokens[name] = &token{authorization: authorization{account: account}, good: true, ends: p.Now().Add(time.Hour)}
}

// AccountOf returns whose token this is, or was.
func (p *Provider) AccountOf(name string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.tokens[name]; t != nil {
		return t.account
	}
	return ""
}

// Accepts returns whose token this is, and what it is good for, as an MCP server
// sees it: nobody's, unless it is good.
func (p *Provider) Accepts(name string) (account, scope string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.tokens[name]; t != nil && t.good && !t.refused {
		return t.account, t.scope
	}
	return "", ""
}

// Tokens returns all tokens that are good.
func (p *Provider) Tokens() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []string
	for name, t := range p.tokens {
		if t.good && !t.refused {
			all = append(all, name)
		}
	}
	return all
}

// SetExpiry sets when an access token ends.
func (p *Provider) SetExpiry(access string, ends time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tokens[access].ends = ends
}

// Expire has MCP servers take an access token no more.
func (p *Provider) Expire(access string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.tokens[access]; t != nil {
		t.refused = true
	}
}

// ExpireAll has MCP servers take no access token that was given out.
func (p *Provider) ExpireAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.tokens {
		t.refused = t.refused || t.access == ""
	}
}

// DropRefreshTokens makes all refresh tokens worthless.
func (p *Provider) DropRefreshTokens() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.tokens {
		t.good = t.good && t.access == ""
	}
}

// noteReuse notes that a refresh token came. p.mu is held.
func (p *Provider) noteReuse(refresh string) {
	if p.sent[refresh] && !p.KeepsRefreshTokens {
		p.reused = append(p.reused, refresh)
		access := &token{}
		if t := p.tokens[refresh]; t != nil && t.access != "" {
			access = p.tokens[t.access]
		}
		if !access.refused && p.Now().Before(access.ends) {
			p.tooEarly = append(p.tooEarly, refresh)
		}
	}
	p.sent[refresh] = true
}

// Reused returns the refresh tokens that came again, other than after the
// provider had said that it did nothing, since the last time.
func (p *Provider) Reused() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	reused := p.reused
	p.reused = nil
	return reused
}

// ReusedEarly returns those of them that came while the access token that came
// with them still worked.
func (p *Provider) ReusedEarly() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.tooEarly)
}

// Refreshes returns the forms of the refreshes that came.
func (p *Provider) Refreshes() []url.Values {
	var forms []url.Values
	for _, r := range p.Requests(TokenPath) {
		if r.Form.Get("grant_type") == "refresh_token" {
			forms = append(forms, r.Form)
		}
	}
	return forms
}

// Refreshed has an entry for each refresh that was answered, or will be when it
// is not held back any more.
func (p *Provider) Refreshed() <-chan struct{} { return p.refreshed }

// Revocations returns what was revoked: hint and token.
func (p *Provider) Revocations() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.revoked)
}

// Reset makes a new provider of an old one.
func (p *Provider) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Forget()
	p.agreed, p.issued, p.faults, p.revoked, p.reused, p.tooEarly = 0, 0, nil, nil, nil, nil
	clear(p.codes)
	clear(p.tokens)
	clear(p.sent)
	for len(p.refreshed) > 0 {
		<-p.refreshed
	}
}

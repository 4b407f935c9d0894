package gateway

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
)

// judged is what was found out about a call by access rules. The body of a request
// may be read while its answer is being sent.
type judged struct {
	request *http.Request // as it came; nil if the gateway itself asks
	listing *listing      // nil unless it does
	// unconnected is why the server could not be asked for its tools: the caller has no
	// account there. Nil if it could, or was not to be.
	unconnected error

	mu     sync.Mutex
	uses   []access.Item // without their arguments
	needs  access.Scopes
	broken *broken // the body was broken off
}

func (j *judged) add(item access.Item, needs access.Scopes) {
	item.Arguments, item.Open = nil, true
	j.mu.Lock()
	defer j.mu.Unlock()
	j.needs.Add(needs)
	if !slices.ContainsFunc(j.uses, func(i access.Item) bool { return i.Kind == item.Kind && i.Name == item.Name }) {
		j.uses = append(j.uses, item)
	}
}

func (j *judged) breakOff(b *broken) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.broken = b
}

// brokenOff returns why the body was broken off, or nil.
func (j *judged) brokenOff() *broken {
	if j == nil {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.broken
}

// passes reports whether the caller may still use all that a call uses, by the rules that
// there are and what is chosen now.
func (j *judged) passes(server *Server, now *tokens.Caller) bool {
	chosen := now.Choices.At(server.Resource)
	if server.Rules == nil && chosen == nil && !server.Pinned.holds() {
		return true
	}
	if j == nil { // begun when there were none
		return false
	}
	who := server.Site.Who(&now.Identity, now.ClientID)
	who.Chosen = chosen
	j.mu.Lock()
	defer j.mu.Unlock()
	return !slices.ContainsFunc(j.uses, func(i access.Item) bool {
		return !server.Rules.Decide(who, i).Allowed || !server.stillGood(now, i)
	})
}

// lacksScopes reports whether scopes are all that is missing.
func (f *refused) lacksScopes() bool { return len(f.scopes.Own)+len(f.scopes.Provider) > 0 }

// scopesMissing returns the scopes that the call needs by access rules, and that its
// token lacks or, once that is known, its account; nil if it lacks none. Those of the
// token come first, and by themselves.
func scopesMissing(c *Call) *refused {
	c.judged.mu.Lock()
	needs := c.judged.needs
	c.judged.mu.Unlock()
	if missing := without(needs.Own, strings.Fields(c.caller.Scope)); len(missing) > 0 {
		return &refused{scopes: access.Scopes{Own: missing}}
	}
	if c.account.credential == nil {
		return nil
	}
	if missing := without(needs.Provider, c.account.credential.Scopes); len(missing) > 0 {
		return &refused{scopes: access.Scopes{Provider: missing}}
	}
	return nil
}

// without returns what of some scopes is not among others.
func without(needed, have []string) []string {
	return slices.DeleteFunc(slices.Clone(needed), func(scope string) bool { return slices.Contains(have, scope) })
}

// askForScopes has the client ask its person for scopes of the token, or for more of
// their account at the server.
func askForScopes(c *Call, w http.ResponseWriter, r *http.Request, missing access.Scopes) {
	switch {
	case len(missing.Own) == 0:
		newSignal(c, w, r).insufficientScope(missing.Provider)
	case !c.server.Gate.StepUp(w, r, c.caller, missing.Own):
		c.server.reject(w, r, c, http.StatusForbidden, "scope_missing", "The token lacks a scope that this call needs.")
	}
}

// annotations returns what the server says of an item to the caller. If it has not listed
// it to them yet, or to anybody if it lists the same to all, it is asked for its list of
// tools as the caller, once for all calls of theirs. A server that does not answer in time
// has said nothing, and neither has one at which the caller has no account.
func (c *Call) annotations(ctx context.Context, item access.Item) access.Annotations {
	offers, viewer := c.server.Offers, c.server.viewer(c.caller).View
	said := offers.LookFor(viewer, item.Kind, item.Name)
	switch {
	case said != 0, item.Kind != access.Tool:
		return said
	case c.target != nil: // it is on its way: others read what the request has
		return said
	}
	askOnce(c, ctx, "An access rule, or what the person chose, asks what the MCP server says of a tool, and the server cannot be asked for its list.")
	return offers.LookFor(viewer, item.Kind, item.Name)
}

// askOnce has the server list its tools for the caller, unless that was done lately. It
// cannot be asked before they connect an account where there must be one: then the call
// is answered with that.
func askOnce(c *Call, ctx context.Context, failure string) {
	if c.server.Auth != nil {
		_, err := c.server.Site.Accounts.Credential(ctx, c.caller.Identity.Subject, c.server.ID)
		if errors.Is(err, accounts.ErrNotConnected) || errors.Is(err, accounts.ErrNeedsReauth) {
			c.judged.unconnected = err
			return
		}
	}
	// With each of their accounts: it may list others to it.
	as := c.caller.Holder + "\x00" + c.server.viewer(c.caller).View
	c.server.Offers.Ask(as, time.Now(), ctx.Done(), func() {
		if err := askForTools(c, ctx); err != nil {
			c.server.record(c.judged.request, c, event.Event{
				Kind: event.ServerFailed, Reason: "tools_unknown", Err: err, Known: ctx.Err() != nil, Detail: failure,
			})
		}
	})
}

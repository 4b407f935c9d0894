package consent

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// broker is what the pages need of an accounts.Broker.
type broker interface {
	Server(id string) *accounts.Server
	Asks(ctx context.Context, server string) []string
	Begin(ctx context.Context, t accounts.Trip) (authorizeURL string, err error)
	Finish(ctx context.Context, a accounts.Answer) (accounts.Outcome, error)
	SealAnswer(a accounts.Answer) string
	OpenAnswer(sealed string) (accounts.Answer, error)
	ConnectHeaders(ctx context.Context, owner, server string, values map[string]string, keepUntil time.Time, p storage.Authentication) error
	Status(ctx context.Context, owner string) ([]accounts.Status, error)
	Disconnect(ctx context.Context, owner, server string) error
}

// perUser returns the upstream of a server that each person connects on their
// own, or nil.
func (c *Consent) perUser(server string) *accounts.Server {
	if c.broker == nil {
		return nil
	}
	if u := c.broker.Server(server); u != nil && u.Mode.PerUser() {
		return u
	}
	return nil
}

// connectedBy returns the upstream of a server that is the owner's to connect,
// or nil: people connect those of their own, an operator those that everybody
// shares one connection to.
func (c *Consent) connectedBy(owner, server string) *accounts.Server {
	if owner != storage.SharedOwner || c.broker == nil {
		return c.perUser(server)
	}
	if u := c.broker.Server(server); u != nil && u.Mode == accounts.OAuth {
		return u
	}
	return nil
}

// connectsAny reports whether there is anything to connect at all.
func (c *Consent) connectsAny() bool {
	return slices.ContainsFunc(c.as.Config().Servers, func(s authz.Server) bool {
		return c.perUser(s.ID) != nil || c.connectedBy(storage.SharedOwner, s.ID) != nil
	})
}

// standing returns, by server, the connections of the owners. Where several
// have one, the first that works counts.
func (c *Consent) standing(ctx context.Context, owners ...string) (map[string]accounts.Status, error) {
	standing := map[string]accounts.Status{}
	if c.broker == nil {
		return standing, nil
	}
	for _, owner := range owners {
		all, err := c.broker.Status(ctx, owner)
		if err != nil {
			return nil, err
		}
		for _, status := range all {
			if status.State == "" || works(standing[status.Server]) {
				continue
			}
			standing[status.Server] = status
		}
	}
	return standing, nil
}

// standingIn is standing for a flow: with what was connected in it, and with
// what the person had connected before.
func (c *Consent) standingIn(ctx context.Context, f *authz.Flow) (map[string]accounts.Status, error) {
	return c.standing(ctx, storage.FlowOwner(f.ID), f.Identity.Subject)
}

func works(s accounts.Status) bool { return s.State == storage.Active }

// connectionView is how a person stands with a server.
type connectionView struct {
	Server   string
	Title    string
	State    string // in words
	Works    bool
	Exists   bool
	Need     string // required or optional
	Required bool
	Scopes   []string // at the provider
	Asks     bool     // the scopes are what it will be asked for
	OAuth    bool     // there are scopes at all
	Button   string
	Focus    bool // the button has the focus
	Since    string
}

// describeConnection tells what is so, and what connecting will ask for.
func (c *Consent) describeConnection(s authz.Server, u *accounts.Server, status accounts.Status, asks []string) connectionView {
	t := c.pages.text
	v := connectionView{
		Server: s.ID, Title: titleOf(s), State: t.State[status.State], Works: works(status),
		Exists: status.State != "", Need: t.Optional, Scopes: status.Scopes,
		OAuth: u.Mode != accounts.PerUserHeaders,
	}
	if u.Required {
		v.Need, v.Required = t.Required, true
	}
	button := t.Connect
	if v.Exists {
		button = t.Reconnect
		v.Since = date(status.Since)
	}
	if !v.Works {
		v.Scopes, v.Asks = asks, true
	}
	v.Button = fmt.Sprintf(button, v.Title)
	return v
}

// asks returns, by server, what the providers of those that have to be connected
// will be asked for. They are asked side by side, as one may be slow.
func (c *Consent) asks(ctx context.Context, servers []authz.Server, standing map[string]accounts.Status) map[string][]string {
	asks := map[string][]string{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, s := range servers {
		if c.perUser(s.ID) == nil || works(standing[s.ID]) {
			continue
		}
		all.Go(func() {
			scopes := c.broker.Asks(ctx, s.ID)
			mu.Lock()
			asks[s.ID] = scopes
			mu.Unlock()
		})
	}
	all.Wait()
	return asks
}

func titleOf(s authz.Server) string { return cmp.Or(s.Title, s.ID) }

// date writes a time for people of any time zone.
func date(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2 January 2006, 15:04 UTC")
}

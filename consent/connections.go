package consent

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/flows"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/pages"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// connections knows which servers people connect an account for, and who did.
type connections struct {
	cfg    *config.Site
	broker broker // nil if people connect nothing
	text   *pages.Text
}

// perUser reports whether each person connects the server on their own.
func (c *connections) perUser(s *config.Server) bool {
	return c.broker != nil && s.Auth != nil && s.Auth.Mode.PerUser()
}

// connectedBy reports whether a server is the owner's to connect: people
// connect those of their own, an operator those that everybody shares one
// connection to.
func (c *connections) connectedBy(owner string, s *config.Server) bool {
	if owner != storage.SharedOwner {
		return c.perUser(s)
	}
	return c.broker != nil && s.Auth != nil && s.Auth.Mode == config.OAuth
}

// any reports whether there is anything to connect at all.
func (c *connections) any() bool {
	return slices.ContainsFunc(c.cfg.Servers, func(s *config.Server) bool {
		return c.perUser(s) || c.connectedBy(storage.SharedOwner, s)
	})
}

// serverID returns the ID if it is of a server that people connect, or "".
func (c *connections) serverID(id string) string {
	if s := c.cfg.Server(id); s == nil || !c.perUser(s) {
		return ""
	}
	return id
}

// statuses returns, by server, the connections of the owners. Where several
// have one, the first that works counts.
func (c *connections) statuses(ctx context.Context, owners ...string) (map[string]accounts.Status, error) {
	statuses := map[string]accounts.Status{}
	if c.broker == nil {
		return statuses, nil
	}
	for _, owner := range owners {
		all, err := c.broker.Status(ctx, owner)
		if err != nil {
			return nil, err
		}
		for _, status := range all {
			if status.State == "" || works(statuses[status.Server]) {
				continue
			}
			statuses[status.Server] = status
		}
	}
	return statuses, nil
}

// inFlow is statuses for a flow: with what was connected in it, and with what
// the person had connected before.
func (c *connections) inFlow(ctx context.Context, f *flows.Flow) (map[string]accounts.Status, error) {
	return c.statuses(ctx, storage.FlowOwner(f.ID), f.Identity.Subject)
}

// ownerIn returns who has connected a server, so that it works; "" for nobody.
func ownerIn(statuses map[string]accounts.Status) func(*config.Server) string {
	return func(s *config.Server) string {
		if status := statuses[s.ID]; works(status) {
			return status.Owner
		}
		return ""
	}
}

func works(s accounts.Status) bool { return s.State == storage.Active }

// connectionView is whether a person is connected to a server.
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

// describe tells what is so, and what connecting will ask for.
func (c *connections) describe(s *config.Server, status accounts.Status, requested []string) connectionView {
	t := c.text
	v := connectionView{
		Server: s.ID, Title: c.title(s, status), State: t.State[status.State], Works: works(status),
		Exists: status.State != "", Need: t.Optional, Scopes: status.Scopes,
		OAuth: s.Auth.Mode != config.PerUserHeaders,
	}
	if account := cleanName(status.Account); account != "" && v.Works {
		v.State = fmt.Sprintf(t.ConnectedAs, "\u2068"+account+"\u2069")
	}
	if !s.Auth.Optional {
		v.Need, v.Required = t.Required, true
	}
	button := t.Connect
	if v.Exists {
		button = t.Reconnect
		v.Since = date(status.Since)
	}
	if !v.Works {
		v.Scopes, v.Asks = requested, true
	}
	v.Button = fmt.Sprintf(button, v.Title)
	return v
}

// title is what a person reads of a server, or of an account of theirs there: that
// they call otherwise than in its address, if they said so.
func (c *connections) title(s *config.Server, status accounts.Status) string {
	if label := cleanName(status.Label); label != "" {
		return fmt.Sprintf("%s (\u2068%s\u2069)", titleOf(s.Configured()), label)
	}
	return titleOf(s)
}

// requestedScopes returns, by server, what the providers of those that have to
// be connected will be asked for. The servers are asked side by side, as one may
// be slow.
func (c *connections) requestedScopes(ctx context.Context, servers []*config.Server, statuses map[string]accounts.Status) map[string][]string {
	requested := map[string][]string{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, s := range servers {
		if !c.perUser(s) || works(statuses[s.ID]) {
			continue
		}
		all.Go(func() {
			scopes := c.broker.RequestedScopes(ctx, s.ID)
			mu.Lock()
			requested[s.ID] = scopes
			mu.Unlock()
		})
	}
	all.Wait()
	return requested
}

// endInFlow ends what was connected in the flow, so that providers hear of it
// too.
func (c *connections) endInFlow(ctx context.Context, f *flows.Flow) error {
	owner := storage.FlowOwner(f.ID)
	made, err := c.statuses(ctx, owner)
	if err != nil {
		return err
	}
	for server := range made {
		if err := c.broker.Disconnect(ctx, owner, server); err != nil {
			return err
		}
	}
	return nil
}

// startOver ends what somebody connected in the flow, of the servers that it asks
// for, and what they are about to, before it becomes somebody else's.
func (c *connections) startOver(ctx context.Context, f *flows.Flow, asked []*config.Server) error {
	for _, s := range asked {
		if !c.perUser(s) {
			continue
		}
		if err := c.broker.Disconnect(ctx, storage.FlowOwner(f.ID), s.ID); err != nil {
			return err
		}
	}
	return nil
}

// broker is what the pages need of an accounts.Broker. Tests put another in its
// place, which fails in each way that a provider can.
type broker interface {
	RequestedScopes(ctx context.Context, server string) []string
	Start(ctx context.Context, t accounts.ConnectRequest) (authorizeURL string, err error)
	Finish(ctx context.Context, a accounts.Answer) (accounts.Outcome, error)
	SealAnswer(a accounts.Answer) string
	OpenAnswer(sealed string) (accounts.Answer, error)
	ConnectHeaders(ctx context.Context, r accounts.ConnectRequest, values map[string]string) error
	Status(ctx context.Context, owner string) ([]accounts.Status, error)
	Disconnect(ctx context.Context, owner, server string) error
	Rename(ctx context.Context, owner, server, label string) error
}

package adminapi

import (
	"context"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/server"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/trace"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/virtualkeys"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/instances"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/rotation"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

// Operator is what an operator can see and end of one configuration.
type Operator struct {
	Sites []*Site // in the order of their issuers; none until the store is open
	Store storage.Store
	// StoreName tells the store from others, as in "bbolt /path".
	StoreName string
	Tokens    *tokens.Cache
	// Rotation is that of the encryption keys.
	Rotation *rotation.Rotation
	Keyring  *seal.Keyring
	// Instances are the Caddys on the store; nil where there can be only one.
	Instances *instances.Instances
	// KeyLost says that nobody has an encryption key any more.
	KeyLost func(ctx context.Context, id string) error
	Traces  *trace.Recorder
	Events  *event.Recorder // of what is no site's
	// Failure is why the store is not open, or nil.
	Failure error
}

// Site is one site.
type Site struct {
	Issuer string
	Server *server.AuthorizationServer
	Events *event.Recorder
	Keys   *virtualkeys.Keys
	// Accounts is nil unless people or an operator connect accounts.
	Accounts *accounts.Broker
	// Archive has the traces of what failed before.
	Archive *trace.Archive
}

// endGrant ends a grant with all its tokens, and returns its id if it stood. Open
// streams end when they are next checked.
func (o *Operator) endGrant(ctx context.Context, id string) ([]string, error) {
	revocation, err := o.Store.RevokeGrant(ctx, id, time.Now())
	if err != nil {
		return nil, err
	}
	o.Tokens.Forget(revocation)
	if len(revocation.GrantIDs) > 0 {
		o.Events.Record(ctx, event.Event{Kind: event.GrantEnded, By: event.ByOperator, Reason: "ended_by_operator", Grant: id})
	}
	return revocation.GrantIDs, nil
}

// endPerson ends what a person has at this site, and adds to what was ended.
func (s *Site) endPerson(ctx context.Context, ended *EndedPerson, withConnections bool) error {
	grants, err := s.Server.Persons.End(ctx, ended.Subject)
	if err != nil {
		return err
	}
	ended.Grants = append(ended.Grants, grants...)
	if !withConnections || s.Accounts == nil {
		return nil
	}
	all, err := s.Accounts.OverviewsOf(ctx, ended.Subject)
	if err != nil {
		return err
	}
	for _, o := range all {
		if err := s.Accounts.Disconnect(ctx, o.Owner, o.Server); err != nil {
			return err
		}
		ended.Connections = append(ended.Connections, o.ID)
	}
	return nil
}

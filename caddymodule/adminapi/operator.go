package adminapi

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/catalog"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/pins"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/server"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/trace"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/virtualkeys"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/instances"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/rotation"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/sealedvalue"
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
	// Offers returns what a server said that it has, and Pinned its tools that were
	// approved, which are kept at a place of the store.
	Offers func(server string) *catalog.Server
	Pinned func(server string) *pins.Tools
	Kept   sealedvalue.Place
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

// maxNamed bounds among how many people somebody is looked for by name.
const maxNamed = maxLook

// subjectOf returns who is meant: a subject or, if there is one person only who is
// called so at a site, a name.
func (o *Operator) subjectOf(ctx context.Context, site *Site, text string) (string, error) {
	if kind, who, found := strings.Cut(text, ":"); found && kind != "" && who != "" {
		return text, nil
	}
	var found []string
	if hasKey(site.Server.Config(), text) {
		found = append(found, identity.SubjectOfKey(text))
	}
	looked := 0
	for after, more := "", true; more && looked < maxNamed; more = after != "" {
		people, next, err := o.Store.Subjects(ctx, after, lookOnce, time.Now())
		if err != nil {
			return "", failure(err)
		}
		for _, p := range people {
			if looked++; p.Issuer != site.Issuer || slices.Contains(found, p.Subject) {
				continue
			}
			id, err := o.identityOf(ctx, site, p.Subject)
			if err != nil {
				return "", failure(err)
			}
			if id.Name == text || strings.HasSuffix(p.Subject, ":"+text) || id.Claims != nil && (id.Claims.Email == text || id.Claims.Name == text) {
				found = append(found, p.Subject)
			}
		}
		after = next
	}
	switch len(found) {
	case 0:
		return "", apiError(http.StatusNotFound, "nobody is known here as "+strconv.Quote(text)+"; write all of the subject, which begins with the way to sign in, as virtual_key:alice does")
	case 1:
		return found[0], nil
	}
	slices.Sort(found)
	return "", apiError(http.StatusBadRequest, "several are called "+strconv.Quote(text)+"; say which: "+strings.Join(found, ", "))
}

// identityOf returns what is known of somebody. Of those without a record, that is
// what their subject says.
func (o *Operator) identityOf(ctx context.Context, site *Site, subject string) (storage.Identity, error) {
	kind, name, _ := strings.Cut(subject, ":")
	if m := site.Server.Config().SignIn.OfSubject(subject); m != nil {
		kind, name = string(m.Kind), strings.TrimPrefix(subject, string(m.Kind)+":")
	}
	id := storage.Identity{Kind: kind, Subject: subject, Name: name}
	record, err := o.Store.Person(ctx, site.Issuer, subject, time.Now())
	if errors.Is(err, storage.ErrNotFound) {
		return id, nil
	}
	id.Kind, id.Name, id.Claims = record.Kind, record.Name, record.Claims
	return id, err
}

// hasKey reports whether there is a virtual key of a name.
func hasKey(cfg *config.Site, name string) bool {
	return slices.ContainsFunc(cfg.Keys.Set().All(), func(k identity.Key) bool { return k.Name == name })
}

// nobodyIs says why there is no program or virtual key of a subject, or returns "". Of
// people it is not known who there is.
func nobodyIs(cfg *config.Site, subject string) string {
	name, isKey := strings.CutPrefix(subject, identity.SubjectOfKey(""))
	switch {
	case identity.IsServiceSubject(subject):
		return cfg.NobodyIs(subject)
	case isKey && !hasKey(cfg, name):
		return "there is no such virtual key"
	case access.IsWhom(subject): // people copy it from a rule
		kind, name, _ := strings.Cut(subject, ":")
		switch kind {
		case "key":
			return "that is how access rules name a virtual key; write " + identity.SubjectOfKey(name)
		case "user":
			return "that is how access rules name somebody; write " + name
		}
		return "that is how access rules name people; write which person you mean, as virtual_key:alice does"
	}
	return ""
}

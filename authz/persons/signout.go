package persons

import (
	"context"
	"errors"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/sealed"
)

// SignOutHint returns what tells a person's provider that it is they who sign out,
// in the session there that they came from; empty if nothing is kept of that one.
// It is to be asked for before they end here, and is only for them to send.
func (ps *Persons) SignOutHint(ctx context.Context, id storage.Identity) string {
	if m := ps.cfg.SignIn.Of(id.Kind); m == nil || m.SignOut == nil {
		return ""
	}
	p, err := ps.deps.Store.Person(ctx, ps.cfg.Issuer, id.Subject, ps.deps.Now())
	if errors.Is(err, storage.ErrNotFound) {
		return ""
	}
	var hint []byte
	failed := event.Event{Kind: event.StoreFailed, Person: id.Subject, Identity: id.Kind, Detail: "telling the identity provider who signs out, whom it may ask itself"}
	switch {
	case err != nil:
	case p.ID != id.Person || p.SignOut == nil || p.SignOut.Session != id.ProviderSession:
		return ""
	default:
		failed.Kind = event.RecordDamaged
		hint, err = ps.deps.Keys.Open(p.SignOut.Secret, sealed.SignOutHint(p)...)
	}
	if err != nil { // they sign out all the same
		failed.Err = err
		ps.deps.Events.Record(ctx, failed)
		return ""
	}
	return string(hint)
}

// sealHint returns what is kept of what came with a login of a person.
func (ps *Persons) sealHint(p storage.Person, came identity.Person) *storage.SignOutHint {
	return &storage.SignOutHint{Session: came.Session, Secret: ps.deps.Keys.Seal([]byte(came.SignOutHint), sealed.SignOutHint(p)...)}
}

// hintAfter returns what is kept of a person who was renewed: the newest of the
// session that they signed in from last.
func (ps *Persons) hintAfter(p storage.Person, renewed identity.Person) *storage.SignOutHint {
	if renewed.SignOutHint == "" || p.SignOut != nil && p.SignOut.Session != renewed.Session {
		return p.SignOut
	}
	return ps.sealHint(p, renewed)
}

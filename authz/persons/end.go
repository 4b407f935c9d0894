package persons

import (
	"context"
	"errors"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// End ends all that a subject has here, of whatever kind: grants, pending flows, the
// browsers that they are signed in with, and what is kept of them. It returns the
// ids of the grants. Afterwards nothing can come of what they had begun.
func (ps *Persons) End(ctx context.Context, subject string) ([]string, error) {
	ended, _, err := ps.endNow(ctx, storage.PersonEnd{Subject: subject})
	if err == nil {
		ps.deps.Events.Record(ctx, event.Event{Kind: event.PersonEnded, Reason: "asked_for", Person: subject, Count: len(ended)})
	}
	return ended, err
}

func (ps *Persons) endNow(ctx context.Context, e storage.PersonEnd) (grants []string, verdict storage.Verdict, err error) {
	e.Issuer, e.Now = ps.cfg.Issuer, ps.deps.Now()
	revocation, verdict, err := ps.deps.Store.EndPerson(ctx, e)
	if err != nil {
		return nil, verdict, oauth.Unavailable(err)
	}
	ps.deps.Cache.Forget(revocation)
	return revocation.GrantIDs, verdict, nil
}

// end ends a person, or what came from one of their sessions at the provider, for
// good, and records why. why has the Reason, the Detail, and whose decision it was.
func (ps *Persons) end(ctx context.Context, e storage.PersonEnd, why event.Event) error {
	if e.Session == "" {
		if err := ps.left(ctx, e.Subject); err != nil {
			return err
		}
	}
	grants, verdict, err := ps.endNow(ctx, e)
	if err != nil || verdict != storage.OK { // they signed in meanwhile
		return err
	}
	why.Kind, why.Person, why.Count = event.PersonEnded, e.Subject, len(grants)
	ps.deps.Events.Record(ctx, why)
	return nil
}

// left has what else there is of a person end, unless they come back.
func (ps *Persons) left(ctx context.Context, subject string) error {
	if ps.deps.Left == nil {
		return nil
	}
	if err := ps.deps.Left(ctx, subject); err != nil {
		return oauth.Unavailable(err)
	}
	return nil
}

// NotAllowed ends all that somebody has here whom the configuration does not let in,
// by what was just said of them. Of a stranger nothing is written down.
func (ps *Persons) NotAllowed(ctx context.Context, id storage.Identity) error {
	p, err := ps.deps.Store.Person(ctx, ps.cfg.Issuer, id.Subject, ps.deps.Now())
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return nil
	case err != nil:
		return oauth.Unavailable(err)
	}
	return ps.end(ctx, storage.PersonEnd{Subject: p.Subject, ID: p.ID, Revision: p.Revision},
		event.Event{By: event.BySite, Reason: "not_allowed", Identity: p.Kind, Detail: "By what was said when they signed in, the configuration does not let them in."})
}

// LoggedOut ends what ends with a logout at the provider of a method. A token that
// was used before ends nothing: whoever kept it could sign people out who came back.
// If it fails half way, the same token works again.
func (ps *Persons) LoggedOut(ctx context.Context, m *identity.Method, l identity.Logout) error {
	token := storage.HashOf("logout token\n" + ps.cfg.Issuer + "\n" + string(m.Kind) + "\n" + l.ID)
	used, err := ps.deps.Store.Used(ctx, token, ps.deps.Now())
	if err != nil {
		return oauth.Unavailable(err)
	}
	if used {
		return errLogoutRepeated
	}
	if err := ps.endLoggedOut(ctx, m, l); err != nil {
		return err
	}
	ends := l.ExpiresAt.Add(-storage.AheadOf(ps.deps.Store)()) // by which the provider's clock is judged
	if _, err := ps.deps.Store.UseOnce(ctx, token, ends, ps.deps.Now()); err != nil {
		return oauth.Unavailable(err)
	}
	return nil
}

var errLogoutRepeated = oauth.NewError("invalid_request", "The logout token was used before.")

func (ps *Persons) endLoggedOut(ctx context.Context, m *identity.Method, l identity.Logout) error {
	if l.Subject == "" {
		v, err := ps.deps.Store.SiteValue(ctx, ps.cfg.Issuer, sessionName(string(m.Kind), l.Session), ps.deps.Now())
		if errors.Is(err, storage.ErrNotFound) {
			return nil // nobody came from there
		}
		if err != nil {
			return oauth.Unavailable(err)
		}
		l.Subject = v.Text
	}
	return ps.end(ctx, storage.PersonEnd{Subject: l.Subject, Session: l.Session},
		event.Event{By: event.ByProvider, Reason: "logged_out", Identity: string(m.Kind), Provider: m.Provider})
}

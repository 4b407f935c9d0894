package flows

import (
	"context"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/sessions"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Login is somebody who was identified just now, and is kept together with the flow
// that they signed in for.
type Login interface {
	Identity() storage.Identity
	SaveFlow(ctx context.Context, f storage.Flow) (storage.Identity, storage.Verdict, error)
}

// SignIn records who the person is, who just said or proved it.
func (fs *Flows) SignIn(ctx context.Context, f *Flow, l Login) error {
	return fs.identify(ctx, f, l.Identity(), storage.Hash{}, "said_who", l.SaveFlow)
}

// Identify is SignIn for somebody who is kept already.
func (fs *Flows) Identify(ctx context.Context, f *Flow, id storage.Identity) error {
	return fs.identify(ctx, f, id, storage.Hash{}, "said_who", fs.save)
}

// Remember records who the person is, who is known by the browser's session. The
// flow ends with that.
func (fs *Flows) Remember(ctx context.Context, f *Flow, k *sessions.Known) error {
	return fs.identify(ctx, f, k.Identity, k.Session, knownHere, fs.save)
}

// RememberOnSubmit is Remember together with what the person submits, which fails if
// they cannot be remembered.
func (fs *Flows) RememberOnSubmit(ctx context.Context, f *Flow, k *sessions.Known) error {
	if !fs.deps.Policy.Allows(k.Identity) {
		return ErrInvalid
	}
	f.Identity, f.session = &k.Identity, k.Session
	f.begins = f.saved(fs.deps.Config.Issuer, k.Identity, k.Session)
	event.Learn(ctx, event.Event{Person: k.Identity.Subject, Identity: k.Identity.Kind})
	return nil
}

// knownHere is the reason of an event: a browser's session says who somebody is.
const knownHere = "known_here"

// saver stores a flow, and returns whose it is by then.
type saver func(ctx context.Context, f storage.Flow) (storage.Identity, storage.Verdict, error)

func (fs *Flows) save(ctx context.Context, f storage.Flow) (storage.Identity, storage.Verdict, error) {
	verdict, err := fs.deps.Store.SaveFlow(ctx, f, fs.deps.Now())
	if err != nil {
		return f.Identity, storage.Unknown, oauth.Unavailable(err)
	}
	return f.Identity, verdict, nil
}

func (fs *Flows) identify(ctx context.Context, f *Flow, id storage.Identity, session storage.Hash, how string, save saver) error {
	if !fs.deps.Policy.Allows(id) {
		return ErrInvalid
	}
	id, verdict, err := save(ctx, *f.saved(fs.deps.Config.Issuer, id, session))
	if err != nil {
		return err
	}
	switch verdict {
	case storage.OK:
		f.Identity, f.session = &id, session
		event.Learn(ctx, event.Event{Person: id.Subject, Identity: id.Kind})
		fs.deps.Events.Record(ctx, f.about(event.Event{Kind: event.SignInSucceeded, Reason: how, By: event.ByPerson}))
		return nil
	case storage.SignedOut:
		return ErrChanged
	}
	return ErrSubmitted
}

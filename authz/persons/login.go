package persons

import (
	"context"
	cryptorand "crypto/rand"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/sealed"
)

// Login is somebody who was identified just now. What is kept of them is stored with
// what they signed in for, by one of its methods. What their provider says of them is
// true of all that they have from then on.
type Login struct {
	ps *Persons
	id storage.Identity
	// keeps is what is kept of them, with nothing that begins. Without a Person it is
	// nothing but that they proved who they are, see ProvedAgain.
	keeps *storage.PersonLogin
}

// Login returns the login of a person who was identified just now.
func (ps *Persons) Login(p identity.Person) *Login {
	l := &Login{ps: ps, id: p.Identity}
	m := ps.cfg.SignIn.Of(l.id.Kind)
	if m == nil || l.id.Claims == nil && p.Secret == nil && p.Session == "" && m.RenewEvery == 0 {
		return l
	}
	id, now := l.id, ps.deps.Now()
	person := storage.Person{
		Issuer: ps.cfg.Issuer, Subject: id.Subject, Kind: id.Kind, Name: id.Name, Proof: id.Proof, ID: cryptorand.Text(),
		Claims: id.Claims, SecretSession: p.Session, SignedInAt: now, VerifiedAt: now, ExpiresAt: ps.lastUse(now),
	}
	if m.Renew != nil && m.RenewEvery > 0 {
		person.DueAt = now.Add(dueIn(m))
	}
	if p.Secret != nil {
		person.Secret = ps.deps.Keys.Seal(p.Secret, sealed.Person(person)...)
	}
	if p.SignOutHint != "" {
		person.SignOut = ps.sealHint(person, p)
	}
	l.keeps = &storage.PersonLogin{Person: person}
	if p.Session != "" {
		l.keeps.OfSession = &storage.SiteValue{
			Issuer: person.Issuer, Name: sessionName(person.Kind, p.Session), Text: person.Subject, ExpiresAt: person.ExpiresAt,
		}
	}
	return l
}

// Identity returns who was identified, as they are known before they are kept.
func (l *Login) Identity() storage.Identity { return l.id }

// Keep stores what is kept of them, who signed in for nothing that is stored now, and
// returns them as they are kept.
func (l *Login) Keep(ctx context.Context) (storage.Identity, error) {
	if l.keeps == nil {
		return l.id, l.provedAgain(ctx)
	}
	id, _, err := l.save(ctx, *l.keeps)
	return id, err
}

// SaveFlow stores them with the flow that they signed in for, which becomes theirs, and
// returns them as they are kept. The verdict is that of storage.AuthStore.
func (l *Login) SaveFlow(ctx context.Context, f storage.Flow) (storage.Identity, storage.Verdict, error) {
	if l.keeps != nil {
		with := *l.keeps
		with.Flow = &f
		return l.save(ctx, with)
	}
	if err := l.provedAgain(ctx); err != nil {
		return l.id, storage.Unknown, err
	}
	f.Identity = l.id
	verdict, err := l.ps.deps.Store.SaveFlow(ctx, f, l.ps.deps.Now())
	if err != nil {
		return l.id, storage.Unknown, oauth.Unavailable(err)
	}
	return l.id, verdict, nil
}

// CreateBrowserSession stores them with the browser session that begins, which becomes
// theirs, and returns them as they are kept. cookie returns the hash of its cookie for
// that.
func (l *Login) CreateBrowserSession(ctx context.Context, b storage.SignIn, cookie func(storage.Identity) storage.Hash) (storage.Identity, error) {
	if l.keeps != nil {
		with := *l.keeps
		with.Browser, with.Cookie = &b, cookie
		id, _, err := l.save(ctx, with)
		return id, err
	}
	if err := l.provedAgain(ctx); err != nil {
		return l.id, err
	}
	b.Identity, b.Hash = l.id, cookie(l.id)
	if err := l.ps.deps.Store.CreateBrowserSession(ctx, b); err != nil {
		return l.id, oauth.Unavailable(err)
	}
	return l.id, nil
}

// provedAgain notes a visit of whom nothing else is kept. Of a kind that is not
// configured any more nothing is: whoever asks next refuses them.
func (l *Login) provedAgain(ctx context.Context) error {
	if l.ps.cfg.SignIn.Of(l.id.Kind) == nil {
		return nil
	}
	return l.ps.ProvedAgain(ctx, l.id)
}

func (l *Login) save(ctx context.Context, with storage.PersonLogin) (storage.Identity, storage.Verdict, error) {
	kept, verdict, err := l.ps.deps.Store.SavePerson(ctx, with, l.ps.deps.Now())
	switch {
	case err != nil:
		return l.id, storage.Unknown, oauth.Unavailable(err)
	case verdict == storage.SignedOut:
		return l.id, verdict, identity.ErrLoginEnded // they signed out there meanwhile
	case verdict != storage.OK:
		return l.id, verdict, nil
	}
	_, id := with.As(kept)
	return id, verdict, nil
}

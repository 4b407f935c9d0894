package storage

import (
	"context"
	"errors"
	"slices"
	"time"
)

// Person is what is kept of somebody whom another system identified, once for all
// that they approved and all browsers that they are signed in with. What the
// provider says of them is kept here alone, so that a renewal is seen by what was
// issued before it.
type Person struct {
	Issuer  string `json:"issuer"`
	Subject string `json:"subject"`
	Kind    string `json:"kind"`
	Name    string `json:"name,omitempty"`
	Proof   string `json:"proof,omitempty"`
	// ID is made anew for whoever is identified after this record ended: nothing
	// that began under another ID comes back to life.
	ID string `json:"id"`
	// Claims are nil for a kind whose identities have none.
	Claims *Claims `json:"claims,omitempty"`
	// Secret renews the claims, such as the provider's refresh token: sealed, nil if
	// there is none. It came from SecretSession at the provider.
	Secret        []byte `json:"secret,omitempty"`
	SecretSession string `json:"secret_session,omitempty"`
	// SignOut is nil if nothing is kept of the last login to sign out with.
	SignOut *SignOutHint `json:"sign_out,omitempty"`
	// EndedSessions are those at the provider that ended last: what comes from them
	// is absent, however late it was written.
	EndedSessions []string `json:"ended_sessions,omitempty"`
	// SignedInAt is when the person last came back themselves, and VerifiedAt when
	// they did or their claims were renewed without them.
	SignedInAt time.Time `json:"signed_in_at"`
	VerifiedAt time.Time `json:"verified_at"`
	// DueAt is when DuePersons returns the person next; zero for never.
	DueAt     time.Time `json:"due_at,omitzero"`
	ExpiresAt time.Time `json:"expires_at"`
	// Revision changes with every change.
	Revision uint64 `json:"revision"`
}

// SignOutHint tells a provider whose session at it is to end.
type SignOutHint struct {
	Session string `json:"session,omitempty"`
	Secret  []byte `json:"secret"` // sealed
}

// MaxEndedSessions is how many EndedSessions are kept: far more than can end while
// a request is under way.
const MaxEndedSessions = 32

// Identity returns who the person is, in the session at the provider that Secret
// came from.
func (p Person) Identity() Identity {
	return Identity{
		Kind: p.Kind, Subject: p.Subject, Name: p.Name, Proof: p.Proof, Person: p.ID,
		ProviderSession: p.SecretSession, Claims: p.claims(),
	}
}

func (p Person) claims() *Claims {
	var claims Claims
	if p.Claims != nil {
		claims = *p.Claims
	}
	claims.VerifiedAt, claims.Renewable = p.VerifiedAt, p.Secret != nil
	return &claims
}

// Fill gives an identity its claims. It reports false if the identity is not of
// this person, or not any more. It is for stores.
func (p Person) Fill(id *Identity, now time.Time) bool {
	if !p.ExpiresAt.After(now) || p.ID != id.Person || p.Ended(id.ProviderSession) {
		return false
	}
	id.Claims = p.claims()
	return true
}

// After returns what is stored for a person who was identified again, p, where
// there was before: nothing, if it is zero.
func (p Person) After(before Person, now time.Time) Person {
	p.Revision = before.Revision + 1
	if before.Kind != p.Kind || before.Proof != p.Proof || !before.ExpiresAt.After(now) {
		return p
	}
	p.ID, p.EndedSessions = before.ID, before.EndedSessions
	if p.Secret == nil {
		p.Secret, p.SecretSession = before.Secret, before.SecretSession
	}
	if p.SignOut == nil {
		p.SignOut = before.SignOut
	}
	return p
}

// InPlaceOf returns what is stored for p where there was before, zero if nothing:
// OK only if p is of the same Revision and ID. It is for stores.
func (p Person) InPlaceOf(before Person, now time.Time) (Person, Verdict) {
	switch {
	case !before.ExpiresAt.After(now):
		return p, Unknown
	case before.Revision != p.Revision || before.ID != p.ID:
		return p, Changed
	}
	p.Revision++
	return p, OK
}

// Ended reports whether a session at the provider is one that ended last.
func (p Person) Ended(session string) bool {
	return session != "" && slices.Contains(p.EndedSessions, session)
}

// PersonLogin is a person who was identified just now, and what begins as them.
type PersonLogin struct {
	// Person is kept. SecretSession is the session at the provider that they come
	// from, whether or not there is a Secret.
	Person Person
	// OfSession tells whose that session is, for who looks for it by its name. It is
	// stored as PutSiteValue does it; nil for nothing.
	OfSession *SiteValue
	// Flow is what the person signed in for, or nil. It is saved as SaveFlow does it,
	// as that of the Identity that they have then.
	Flow *Flow
	// Browser signs their browser in instead, or is nil: as CreateBrowserSession does it, as
	// that Identity, and under the Hash that Cookie returns for it. Cookie must not call
	// the store, and may be called more than once.
	Browser *SignIn
	Cookie  func(Identity) Hash
}

var errLogin = errors.New("storage: with a person, a flow of theirs begins or a browser session, and rests on no other")

// Check refuses a login whose parts do not belong together, before any store looks at
// what it has.
func (l PersonLogin) Check() error {
	p, f, b := l.Person, l.Flow, l.Browser
	switch {
	case f != nil && b != nil:
	case f != nil && (f.Issuer != p.Issuer || f.Session != (Hash{}) || f.Submitted || !f.Identity.Same(p.Identity())):
	case b != nil && (b.Issuer != p.Issuer || l.Cookie == nil || !b.Identity.Same(p.Identity())):
	case l.OfSession != nil && l.OfSession.Issuer != p.Issuer:
	default:
		return nil
	}
	return errLogin
}

// As returns the login as that of the person as they are kept, with the Identity that
// they have in what begins.
func (l PersonLogin) As(kept Person) (PersonLogin, Identity) {
	id := kept.Identity()
	id.ProviderSession = l.Person.SecretSession
	if l.Flow != nil {
		f := *l.Flow
		f.Identity, l.Flow = id, &f
	}
	if l.Browser != nil {
		b := *l.Browser
		b.Identity, b.Hash, l.Browser = id, l.Cookie(id), &b
	}
	l.Person = kept
	return l, id
}

// PersonEnd ends a person, or what came from one of their sessions at the provider
// and what may have.
type PersonEnd struct {
	Issuer  string
	Subject string
	// Session is empty for all of them.
	Session string
	// ID and Revision are those that whoever ends the person decided on; with Revision
	// 0 it is whoever there is.
	ID       string
	Revision uint64
	Now      time.Time
}

// Ends reports whether what an identity began ends.
func (e PersonEnd) Ends(issuer string, id Identity) bool {
	return issuer == e.Issuer && id.Subject == e.Subject && (e.Session == "" || id.ProviderSession == e.Session ||
		id.ProviderSession == "" && id.Person != "") // of which it may be any
}

// IsOf reports whether the person is the one that was decided on. It is for stores.
func (e PersonEnd) IsOf(p Person) bool {
	return e.Revision == 0 || e.ID == p.ID && e.Revision == p.Revision
}

// Mark returns the person without the session that ends. It is for stores.
func (e PersonEnd) Mark(p Person) Person {
	p.EndedSessions = append(slices.Clone(p.EndedSessions), e.Session)
	p.EndedSessions = p.EndedSessions[max(0, len(p.EndedSessions)-MaxEndedSessions):]
	if p.SecretSession == e.Session {
		p.Secret, p.SecretSession = nil, ""
	}
	if p.SignOut != nil && p.SignOut.Session == e.Session {
		p.SignOut = nil
	}
	p.Revision++
	return p
}

// Subject is whoever has something at an issuer.
type Subject struct{ Issuer, Subject string }

// PersonStore keeps the people whom another system identifies.
type PersonStore interface {
	// Person returns what is kept of a subject, or ErrNotFound.
	Person(ctx context.Context, issuer, subject string, now time.Time) (Person, error)
	// Subjects returns up to limit of those who have a valid grant, a connection, a
	// browser session or a Person, at any issuer, each once, from the first one
	// behind after. next is as that of Connections.
	Subjects(ctx context.Context, after string, limit int, now time.Time) (subjects []Subject, next string, err error)
	// SavePerson keeps somebody who was identified just now, and begins what they
	// signed in for, in one transaction. Who is there already, of the same Kind and with
	// the same Proof, keeps ID, EndedSessions and, if there is no new one, Secret. It
	// returns the person that it stored. Unless it answers OK, nothing was changed.
	//   OK         all was stored.
	//   SignedOut  the session that they come from ended meanwhile.
	//   Submitted  the flow was.
	SavePerson(ctx context.Context, l PersonLogin, now time.Time) (Person, Verdict, error)
	// UpdatePerson replaces the person with the same Revision and ID, and returns
	// what it stored: OK, Changed or Unknown.
	UpdatePerson(ctx context.Context, p Person, now time.Time) (Person, Verdict, error)
	// DuePersons returns up to limit persons whose DueAt has come, the longest due
	// first. Each is due again at retryAt, unless it is stored before: until then
	// no other caller gets it.
	DuePersons(ctx context.Context, issuer string, limit int, now, retryAt time.Time) ([]Person, error)
	// EndPerson revokes the grants of a subject, ends its browser sessions and
	// pending flows, and removes its Person: OK, also if there was nothing.
	// With Session, only what came from that session at the provider ends, the
	// Person keeps that it ended, and loses the Secret that came from it.
	//   Changed  the Person is not at e.Revision: nothing was changed.
	EndPerson(ctx context.Context, e PersonEnd) (Revocation, Verdict, error)
}

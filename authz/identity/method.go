package identity

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Kind names a way to sign in. It is the prefix of every subject that comes
// from it.
type Kind string

// subject returns the issuer-wide unique name of id among its kind.
func subject(k Kind, id string) string { return string(k) + ":" + id }

// Method is a way to sign in: what to ask a person for, and how the answer
// becomes an identity. What it leaves out does not apply to it.
//
// Either Identify reads the answer from the form of the Prompt, or the browser
// is sent elsewhere: Start says where to, and Finish reads what it comes back
// with.
//
// The Proof of its identities stands in every record of them, as it is. It must
// tell a secret from the one before, and be of no help to whoever looks for the
// secret: some bytes of a hash are good for a long random secret, as virtual keys
// must be. A short one, such as a PIN, is found from any hash of it, so there
// Proof must not be made of the secret.
type Method struct {
	Kind Kind
	// Form is the last segment of the paths of the method: those that its form is
	// sent to and, if it has one, its callback.
	Form string
	// ExcludesStrangers tells that only people whom somebody let in can have an
	// identity of this kind. Of one that does not, anybody can have as many as they
	// like: what such people leave in the store is bounded for each address.
	ExcludesStrangers bool
	// NameVerified tells that nobody can have an identity with the name of somebody
	// else. It is independent of ExcludesStrangers: with a secret that everybody
	// shares, people are let in and choose their names.
	NameVerified bool
	// NameShared tells that others may have the same name. It is for people to read,
	// and servers are not told it as who somebody is.
	NameShared bool
	// SingleUse tells that nobody gets the same identity twice. Only the browser
	// that it was given to knows such a person again.
	SingleUse bool
	// Service tells that it is for programs, which get tokens for themselves. The pages
	// have nothing of it: Prompt, Identify and the like are nil.
	Service bool
	// Label is what the pages show beside a person's name: how they signed in, and
	// that the name is not verified if it is not.
	Label string
	// Recheck is how long a grant is good after its person was last identified; 0
	// sets no bound. With RenewEvery it is for those who cannot be renewed, and 0
	// means DefaultRecheck.
	Recheck time.Duration
	// Provider is the issuer of the identity provider at which people sign in, for
	// the log.
	Provider string
	// RenewEvery is how often Renew is called for a person, at least. What is known
	// of one is taken for true for twice as long.
	RenewEvery time.Duration
	// Messages tell people why they were not identified, by the Code of a Denied.
	// The codes are fixed, so that no link to a page can put words on it.
	Messages map[string]string
	// WrongAccount are the codes that tell that the account was not the right one:
	// the place to sign in is to let the person choose another when they try again.
	WrongAccount []string

	// Prompt returns what a page asks for. inFlow tells that a client sent the
	// person to it.
	Prompt func(r *http.Request, inFlow bool) Prompt
	// Identify returns whom the form in r.PostForm is from, or a *Denied.
	Identify func(r *http.Request) (storage.Identity, error)

	// Ready reports whether people can be sent to where they sign in without a page
	// of ours before. Nil for a method whose page says what they need to know.
	Ready func() bool
	// Start returns where to send the browser.
	Start func(ctx context.Context, l Login) (Redirect, error)
	// Finish returns who came back, or a *Denied: with the Person whom the
	// configuration does not let in, if it is that.
	Finish func(ctx context.Context, a Answer) (Person, error)
	// Renew returns what is true of a person now, who signed in elsewhere and came
	// back with a Secret; with another Secret if theirs is used up. ErrEnded tells
	// that they may not sign in there any more, any other error that it is not known. The
	// Person is returned with every error, too: the Secret may have changed.
	Renew func(ctx context.Context, p Person) (Person, error)
	// Logout returns whom a logout token is about, by which an identity provider
	// tells that a person signed out there (OpenID Connect Back-Channel Logout).
	Logout func(ctx context.Context, token string) (Logout, error)

	// SignOut returns how people can sign out at the identity provider, from where
	// they come back to an address; false if they cannot. hint is the SignOutHint of
	// a Person, or empty.
	SignOut func(returnTo, hint string) (SignOut, bool)

	// Current returns whom a request for a page is from. It is for a method that
	// another handler carries out, for each request: an identity of it is good
	// only while it is the current one.
	Current func(r *http.Request) (storage.Identity, bool)
	// Valid reports whether the configuration still knows an identity.
	Valid func(id storage.Identity) bool
	// SharedProof is the Proof of all identities of this kind, if they have the
	// same. One that has another is not valid.
	SharedProof string
	// Basis stands for what decides Valid. With another one, identities that were
	// valid may not be.
	Basis string
	// Listed returns the identities that the configuration lists, by subject.
	Listed func() map[string]Listed
	// MayUse reports whether an identity may use an MCP server.
	MayUse func(id storage.Identity, server string) bool
	// Lists reports whether the configuration lists the MCP server for the identity:
	// then it may use it, whoever the server is for.
	Lists func(id storage.Identity, server string) bool
	// Named returns the service person of a subject, if it is of this method.
	Named func(subject string) (storage.Identity, bool)
}

// Prompt is what a page asks a person for. All words are in English.
type Prompt struct {
	Title string
	// Inputs are what the person types, in the order of the form; none if they only
	// press the button.
	Inputs []Input
	// Shown is the FormValue of the person whom the prompt names.
	Shown string
	Hint  string
	// Button is empty if the person cannot go on; Hint says why.
	Button string
}

// Input is a field of a form. Its attributes are those of HTML. Name is its id,
// too: all methods can be on one page, so no two inputs have the same.
type Input struct {
	Name, Type, Label, Autocomplete string
	MaxLength                       int
	Verbatim                        bool // the first letter must not become a capital
}

// Login is a person about to leave for where they sign in.
type Login struct {
	// State must come back as the parameter of that name.
	State string
	// CallbackURL is where the browser must come back to.
	CallbackURL string
	// OtherAccount tells that the person may want another account than the one that
	// the browser is signed in with there.
	OtherAccount bool
}

// Redirect sends a browser to where a person signs in.
type Redirect struct {
	URL string
	// Secret is what Finish needs and nobody may know, such as a verifier. It is
	// kept sealed.
	Secret []byte
}

// SignOut is the way to sign out at an identity provider.
type SignOut struct {
	// URL is a link there. Nothing in it tells who the person is, so they may be
	// asked.
	URL string
	// Form is where to send a form with the Fields instead, one of which tells that;
	// empty if nothing does.
	Form   string
	Fields map[string]string
}

// Answer is what a browser came back with.
type Answer struct {
	Query       url.Values // no parameter twice
	CallbackURL string
	Secret      []byte
	// Vouched returns whom Logins.Vouch gave a code out for, if it was for this
	// login. Each code works once.
	Vouched func(ctx context.Context, code string) (Person, error)
}

// Denied is the error for a person who could not be identified.
type Denied struct {
	Code string // of one of the method's Messages
	// Guess tells that a secret was wrong. Wrong ones are counted: beyond the limit
	// people hear that there were too many, and the operator is warned. It does not
	// keep a right one from passing, so that nobody is locked out by what others
	// send, and so does not protect a secret short enough to be guessed.
	Guess bool
	// Operator tells that it is the operator who has to do something about it.
	Operator bool
	Cause    error // logged, never shown
}

func (d *Denied) Error() string {
	if d.Cause != nil {
		return "identity: not identified: " + d.Code + ": " + d.Cause.Error()
	}
	return "identity: not identified: " + d.Code
}

func (d *Denied) Unwrap() error { return d.Cause }

// Methods are the ways to sign in to a site, in the order people see them.
type Methods []Method

// Of returns the method of a kind, or nil.
func (ms Methods) Of(kind string) *Method {
	for i := range ms {
		if string(ms[i].Kind) == kind {
			return &ms[i]
		}
	}
	return nil
}

// Valid reports whether the configuration still knows an identity: its method is
// in use, and vouches for it.
func (ms Methods) Valid(id storage.Identity) bool {
	m := ms.Of(id.Kind)
	return m != nil && (m.SharedProof == "" || m.SharedProof == id.Proof) && (m.Valid == nil || m.Valid(id))
}

// MayUse reports whether an identity may use an MCP server.
func (ms Methods) MayUse(id storage.Identity, server string) bool {
	m := ms.Of(id.Kind)
	return m != nil && (m.MayUse == nil || m.MayUse(id, server))
}

// ExcludesStrangers reports whether a stranger could not have the identity.
func (ms Methods) ExcludesStrangers(id storage.Identity) bool {
	m := ms.Of(id.Kind)
	return m != nil && m.ExcludesStrangers
}

// NameVerified reports whether nobody else could have an identity with its name.
func (ms Methods) NameVerified(id storage.Identity) bool {
	m := ms.Of(id.Kind)
	return m != nil && m.NameVerified
}

// UnverifiedNames returns the methods by which people choose a name that nobody
// checks.
func (ms Methods) UnverifiedNames() Methods {
	return slices.DeleteFunc(slices.Clone(ms), func(m Method) bool { return m.NameVerified || m.SingleUse })
}

// Recheck returns how long a grant of the identity is good after it was last
// proved; 0 sets no bound.
func (ms Methods) Recheck(id storage.Identity) time.Duration {
	if m := ms.Of(id.Kind); m != nil {
		return m.Recheck
	}
	return 0
}

// IsCurrent reports whether an identity is not of a kind that each request tells,
// or is the one that this request tells.
func (ms Methods) IsCurrent(r *http.Request, id storage.Identity) bool {
	m := ms.Of(id.Kind)
	if m == nil || m.Current == nil {
		return true
	}
	current, ok := m.Current(r)
	return ok && current.Subject == id.Subject
}

// Message returns the words for the code of a Denied, or "".
func (ms Methods) Message(code string) string {
	for i := range ms {
		if text, ok := ms[i].Messages[code]; ok {
			return text
		}
	}
	return ""
}

// FormValue stands for an identity in a form, so that the form tells whom the
// person saw without spelling it out. Whoever has the name now by another proof
// is somebody else.
func FormValue(id storage.Identity) string {
	sum := sha256.Sum256([]byte(id.Subject + "\x00" + id.Proof))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// IsShown reports whether the page that the form in r.PostForm is on showed this
// identity.
func IsShown(r *http.Request, id storage.Identity) bool {
	return subtle.ConstantTimeCompare([]byte(r.PostForm.Get("identity")), []byte(FormValue(id))) == 1
}

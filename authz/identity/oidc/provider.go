package oidc

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/cache"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Provider is an OpenID Connect provider that a site is configured with. Before
// Connect nobody can sign in with it. It is safe for concurrent use.
type Provider struct {
	o    Options
	kind identity.Kind
	// proof is that of all its identities: a few bytes of the hash of the issuer.
	proof string
	at    atomic.Pointer[connected]
	// noSelectAccount tells that the provider refused prompt=select_account.
	noSelectAccount atomic.Bool
}

// Deps is what a provider works with.
type Deps struct {
	Directory *Directory
	// Client makes the requests. Its Name, Configured and AuthMethod are set here.
	Client client.Client
	Events *event.Recorder
}

// connected is what there is to work with.
type connected struct {
	client client.Client
	source *cache.Kept[*source]
	events *event.Recorder
}

// New returns a provider that is not connected yet.
func New(o Options) *Provider {
	sum := sha256.Sum256([]byte(o.Issuer))
	o.GroupsClaim = cmp.Or(o.GroupsClaim, DefaultGroupsClaim)
	o.Title = cmp.Or(o.Title, o.host())
	if o.needsEmail() {
		o.Email = cmp.Or(o.Email, VerifiedEmail)
	}
	return &Provider{o: o, kind: Kind + ":" + identity.Kind(o.Name), proof: hex.EncodeToString(sum[:8])}
}

// Form returns the last segment of the paths of a provider of the name.
func Form(name string) string { return string(Kind) + "-" + name }

// Options returns what the provider was configured with, and the defaults.
func (p *Provider) Options() Options { return p.o }

// Connect gives the provider what it works with.
func (p *Provider) Connect(d Deps) {
	c := d.Client
	c.Name = "identity oidc " + p.o.Issuer
	c.Configured = []string{p.o.Issuer}
	c.Profile.AuthMethod = p.o.AuthMethod
	c.Quirks = client.Quirks{AuthorizeParams: p.o.AuthorizeParams}
	p.at.Store(&connected{client: c, source: d.Directory.source(p.o.Issuer, &c), events: d.Events})
}

// answered reports whether the provider is known.
func (at *connected) answered() bool {
	_, ok := at.source.Last()
	return ok
}

const (
	firstPause   = time.Second
	longestPause = time.Minute
	// reminder is how often the log says again that a provider does not answer.
	reminder = 10 * time.Minute
)

// Watch finds the provider, and tries again with growing pauses until it has, so
// that the pages can tell whether people can sign in with it.
func (p *Provider) Watch(ctx context.Context) {
	at := p.at.Load()
	var told string
	var toldAt time.Time
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		_, err := at.source.Get(ctx)
		now := at.client.Now()
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			if told != "" {
				at.events.Record(ctx, event.Event{Kind: event.ProviderRecovered, Reason: "discovery", Identity: string(p.kind), Provider: p.o.Issuer})
			}
			return
		case err.Error() != told || now.Sub(toldAt) >= reminder:
			told, toldAt = err.Error(), now
			at.events.Record(ctx, event.Event{
				Kind: event.ProviderUnreachable, Reason: "discovery", Identity: string(p.kind), Provider: p.o.Issuer, Err: err,
				Detail: "Nobody can sign in there, which is tried again and again.",
			})
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// found returns the provider as it says to be. Errors are of type
// *identity.Unavailable.
func (p *Provider) found(ctx context.Context) (*connected, *source, error) {
	at := p.at.Load()
	if at == nil {
		return nil, nil, &identity.Unavailable{Cause: errors.New("this site is not open yet")}
	}
	s, err := at.source.Get(ctx)
	if err != nil {
		return nil, nil, &identity.Unavailable{Cause: err}
	}
	return at, s, nil
}

// Method returns the way to sign in.
func (p *Provider) Method() identity.Method {
	return identity.Method{
		Kind: p.kind, Form: Form(p.o.Name), Provider: p.o.Issuer,
		ExcludesStrangers: p.o.Allow != nil || !p.o.IsPublic(), NameVerified: true, NameShared: true,
		Label: "signed in at " + p.o.Title, RenewEvery: p.o.Recheck,
		Messages: p.messages(), WrongAccount: []string{p.code(declined), p.code(noChoice), p.code(notAllowed), p.code(groupOverage), p.code(tooManyGroups)},
		Prompt: p.prompt, Ready: p.ready,
		Start: p.start, Finish: p.finish, Renew: p.renew, Logout: p.logout, SignOut: p.signOut,
		SharedProof: p.proof, Basis: p.o.Allow.String(),
		Valid: func(id storage.Identity) bool { return p.o.Allow.Match(id.Claims) },
	}
}

// ready reports whether the provider is known.
func (p *Provider) ready() bool {
	at := p.at.Load()
	return at != nil && at.answered()
}

func (p *Provider) prompt(*http.Request, bool) identity.Prompt {
	prompt := identity.Prompt{
		Title: p.o.Title, Button: "Continue with " + p.o.Title,
		Hint: "You sign in at " + p.o.host() + " and are then sent back here.",
	}
	if !p.ready() {
		prompt.Hint = p.o.Title + " does not answer at the moment, so nobody can sign in with it. Try again in a minute."
		prompt.Button = "Try " + p.o.Title + " again"
	}
	return prompt
}

// codes of the refusals.
const (
	declined      = "declined"
	noChoice      = "no_choice"
	notAllowed    = "not_allowed"
	groupOverage  = "groups_left_out"
	tooManyGroups = "too_many_groups"
	otherProvider = "other_provider"
	refused       = "refused"
	untrusted     = "untrusted"
	tooOld        = "too_old"
	tooWeak       = "too_weak"
)

// messages are the words of the refusals.
func (p *Provider) messages() map[string]string {
	const again = " Try again; if it happens again, tell whoever runs this site the error reference."
	messages := map[string]string{
		noChoice:      "%s does not let people choose an account. Try again: it then asks you to sign in anew.",
		declined:      "%s says that you did not agree, or may not sign in to this site. You can try again.",
		notAllowed:    "%s says who you are, but this site does not let you in with that account. Sign in there with another account, or ask whoever runs this site.",
		groupOverage:  "You are in more groups than %s puts into a sign-in, so it sent none of them, and this site cannot tell whether to let you in. Ask whoever runs this site, and tell them the error reference.",
		tooManyGroups: "%s says that you are in more groups than this site can keep. Ask whoever runs this site, and tell them the error reference.",
		otherProvider: "The answer did not come from %s, where you were sent to, so it was not used." + again,
		refused:       "%s refused to sign you in to this site." + again,
		untrusted:     "The answer of %s could not be relied on, so it was not used." + again,
		tooOld:        "%s did not ask you to prove who you are, and you did so too long ago. Sign out there, then try again.",
		tooWeak:       "%s did not make sure who you are in the way that this site asks for, such as with a second factor." + again,
	}
	named := make(map[string]string, len(messages))
	for code, text := range messages {
		named[p.code(code)] = fmt.Sprintf(text, p.o.Title)
	}
	return named
}

// code returns what a refusal is called among those of all methods.
func (p *Provider) code(code string) string { return Form(p.o.Name) + "_" + code }

// deny refuses a person. The cause is for the log.
func (p *Provider) deny(code string, cause error) *identity.Denied {
	return &identity.Denied{Code: p.code(code), Cause: cause}
}

// denyAndWarn is deny for what an operator has to look at.
func (p *Provider) denyAndWarn(code string, cause error) *identity.Denied {
	return &identity.Denied{Code: p.code(code), Cause: cause, Operator: true}
}

package flows

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/grants"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/ratelimit"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// usedLifetime is how long a registration that somebody approved is kept after
// its last grant has ended.
const usedLifetime = 90 * 24 * time.Hour

// Errors of what the person chose.
var (
	ErrChoice  = oauth.NewError("invalid_request", "Choose at least one of the services on offer, and nothing else.")
	ErrNoScope = oauth.NewError("invalid_request", "Choose at least one of the permissions on offer.")
)

// Approval is what a person agreed to.
type Approval struct {
	// Resources are the servers, all of which Servers must offer.
	Resources []string
	// Scope is what the person ticked of OptionalScope. What calls of the servers
	// need is granted besides.
	Scope []string
	// Connected are the IDs of the servers that the person has connected.
	Connected []string
	// Chosen is what of the Resources the client may use, where that is not all.
	Chosen []storage.Choice
	// Lifetime is how long all of it lasts, 0 for as long as it can.
	Lifetime time.Duration
}

// Approve ends the flow with a grant, and returns the URL that takes the code
// to the client.
func (fs *Flows) Approve(ctx context.Context, f *Flow, a Approval) (string, error) {
	answer, err := fs.approve(ctx, f, a, nil)
	return answer.URL, err
}

// ApproveAndSignIn is Approve and, in the same transaction, SignIn: the grant
// and the browser session are there both or neither. Whoever was signed in
// already stays so, for no longer than before.
func (fs *Flows) ApproveAndSignIn(w http.ResponseWriter, r *http.Request, f *Flow, a Approval) (string, error) {
	if f.Identity == nil {
		return "", ErrInvalid
	}
	if f.IsRemembered() {
		return fs.Approve(r.Context(), f, a)
	}
	browser, cookie := fs.deps.Sessions.Begin(r, *f.Identity)
	answer, err := fs.approve(r.Context(), f, a, &browser)
	if err != nil {
		return "", err
	}
	http.SetCookie(w, cookie)
	return answer.URL, nil
}

func (fs *Flows) approve(ctx context.Context, f *Flow, a Approval, browser *storage.SignIn) (Answer, error) {
	if f.Identity == nil || !fs.deps.Policy.Allows(*f.Identity) {
		return Answer{}, ErrInvalid
	}
	var chosen []*config.Server
	offered := fs.Servers(f)
	for _, s := range offered {
		if slices.Contains(a.Resources, s.Resource) {
			chosen = append(chosen, s)
		}
	}
	if len(chosen) == 0 || !subset(a.Resources, grants.ResourcesOf(offered)) || !subset(a.Scope, fs.OptionalScope(f)) {
		return Answer{}, ErrChoice
	}
	now := fs.deps.Now()
	code := oauth.NewSecret(tokens.CodePrefix)
	grant := fs.newGrant(f, chosen, now)
	if grant.Chosen = a.Chosen; storage.CheckChosen(a.Chosen, grant.Resources) != nil {
		return Answer{}, ErrChoice
	}
	grant.EndBy(a.end(now))
	scope := grants.ChosenScope(f.Scope, a.Scope, chosen)
	if len(scope) == 0 && len(grants.LimitScope(f.Scope, chosen)) > 0 {
		return Answer{}, ErrNoScope
	}
	grant.Scope = grants.ConnectedScope(scope, chosen, a.Connected)
	err := fs.submit(ctx, f, storage.Submission{
		Grant: grant,
		Code: &storage.Code{
			Hash: storage.HashOf(code), GrantID: grant.ID, Issuer: fs.deps.Config.Issuer, ClientID: f.Client.ID,
			RedirectURI: f.RedirectURI, Challenge: f.Challenge, ExpiresAt: grant.ExpiresAt,
		},
		Browser: browser,
		Now:     now,
	})
	if err != nil {
		return Answer{}, err
	}
	fs.deps.Events.Record(ctx, f.about(event.Event{Kind: event.ConsentGiven, Grant: grant.ID, By: event.ByPerson}).On(idsOf(chosen)))
	return Answer{code, fs.answerURL(f, url.Values{"code": {code}})}, nil
}

func idsOf(servers []*config.Server) []string {
	ids := make([]string, len(servers))
	for i, s := range servers {
		ids[i] = s.ID
	}
	return ids
}

// end returns until when the approval is good, zero for as long as it can.
func (a *Approval) end(now time.Time) time.Time {
	if a.Lifetime <= 0 {
		return time.Time{}
	}
	return now.Add(a.Lifetime)
}

// newGrant returns what the person approves. It ends with its code unless
// the client redeems that in time.
func (fs *Flows) newGrant(f *Flow, servers []*config.Server, now time.Time) *storage.Grant {
	limit := time.Duration(fs.deps.Config.GrantLifetime)
	if f.Client.AllowsGrant(oauth.GrantRefreshToken) {
		limit = time.Duration(fs.deps.Config.AbsoluteGrantLifetime)
	}
	return &storage.Grant{
		ID: uuid.NewString(), Issuer: fs.deps.Config.Issuer, ClientID: f.Client.ID, Identity: *f.Identity,
		Resources: grants.ResourcesOf(servers), ResourcesRequested: len(f.Resources) > 0,
		RedirectURI: f.RedirectURI, ClientName: f.Client.Metadata.ClientName,
		CreatedAt: now, ExpiresAt: now.Add(f.codeLifetime), AbsoluteExpiresAt: now.Add(limit), LastUsedAt: now,
	}
}

// Deny ends the flow and returns the URL that tells the client so.
func (fs *Flows) Deny(ctx context.Context, f *Flow) (string, error) {
	if f.Identity == nil {
		return "", ErrInvalid
	}
	if err := fs.submit(ctx, f, storage.Submission{Now: fs.deps.Now()}); err != nil {
		return "", err
	}
	fs.deps.Events.Record(ctx, f.about(event.Event{Kind: event.ConsentDenied, By: event.ByPerson}))
	return fs.answerURL(f, url.Values{"error": {"access_denied"}}), nil
}

// submit ends the flow, once, with what s has of a grant. What the person
// connected in it becomes theirs with the grant; without one, it is removed.
func (fs *Flows) submit(ctx context.Context, f *Flow, s storage.Submission) error {
	s.FlowID, s.Issuer, s.Identity, s.Session = f.ID, fs.deps.Config.Issuer, *f.Identity, f.session
	s.Begins = f.begins
	policy := fs.deps.Config.Registration
	s.KeepClient = usedLifetime
	if !fs.deps.Config.SignIn.ExcludesStrangers(*f.Identity) {
		s.Quota = ratelimit.Quota(f.address, *policy.MaxUnproved)
	}
	if s.Grant != nil && fs.deps.Connections != nil {
		var err error
		if s.Adopt, err = fs.deps.Connections.Adopt(ctx, f.ID, f.Identity.Subject); err != nil {
			return oauth.Unavailable(err)
		}
	}
	verdict, err := fs.deps.Store.SubmitFlow(ctx, s)
	if err != nil {
		return oauth.Unavailable(err)
	}
	switch verdict {
	case storage.OK:
		if s.Begins != nil {
			fs.deps.Events.Record(ctx, f.about(event.Event{Kind: event.SignInSucceeded, Reason: knownHere, By: event.ByPerson}))
		}
		if len(s.Adopt) > 0 {
			fs.deps.Connections.Adopted(s.Adopt)
		}
		return nil
	case storage.Submitted:
		return ErrSubmitted
	case storage.Changed, storage.SignedOut:
		return ErrChanged
	}
	return ErrExpired
}

// answerURL returns the redirect URI with an authorization response: state as
// it came, and iss on every one of them (OAuth 2.1 section 4.1.2, RFC 9207
// section 2). What the client put in the query stays.
func (fs *Flows) answerURL(f *Flow, answer url.Values) string {
	if f.State != "" {
		answer.Set("state", f.State)
	}
	answer.Set("iss", fs.deps.Config.Issuer)
	separator := "?"
	if strings.Contains(f.RedirectURI, "?") {
		separator = "&"
	}
	return f.RedirectURI + separator + answer.Encode()
}

func subset(part, whole []string) bool {
	return !slices.ContainsFunc(part, func(s string) bool { return !slices.Contains(whole, s) })
}

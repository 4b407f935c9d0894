package flows

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/clients"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/grants"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/sessions"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

// Deps is what the flows of one site work with.
type Deps struct {
	Config   *config.Site
	Policy   *grants.Policy
	Clients  *clients.Directory
	Sessions *sessions.Sessions
	Keys     *seal.Keyring // seal what travels with the browser
	Store    storage.AuthStore
	// Connections is what people connect during a flow, or nil.
	Connections Connections
	ClientIP    func(*http.Request) string
	Events      *event.Recorder
	Now         func() time.Time
}

// Connections knows the upstream connections that people make during a flow.
type Connections interface {
	// Adopt returns the connections of a flow for the transaction that gives
	// them to their owner. It changes nothing.
	Adopt(ctx context.Context, flowID, owner string) ([]storage.ConnectionReplacement, error)
	// Connected returns the servers that somebody has connected, and can use.
	Connected(ctx context.Context, owner string) ([]string, error)
	// Adopted is called once this transaction was committed.
	Adopted(connections []storage.ConnectionReplacement)
}

// Flows are the pending authorization requests of one issuer: sealed, bound to
// a browser, and ended once, by the person's answer.
type Flows struct {
	deps    Deps
	cookies sessions.Cookies
	pending *pendingClients
	// ahead is how far the clock is ahead by which what is sealed ends: another
	// process may open it.
	ahead func() time.Duration
}

// New returns the flows of a site.
func New(deps Deps) *Flows {
	return &Flows{
		deps: deps, cookies: sessions.CookiesOf(deps.Config.Issuer),
		pending: newPendingClients(deps.Now, time.Duration(deps.Config.FlowLifetime)),
		ahead:   storage.AheadOf(deps.Store),
	}
}

// Pending reports whether a person may be on the pages for a registered client
// right now.
func (fs *Flows) Pending(clientID string) bool { return fs.pending.has(clientID) }

// seal returns the flow_id. Only this issuer opens it again.
func (fs *Flows) seal(s *sealedFlow) (string, error) {
	plain, err := json.Marshal(s)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(fs.deps.Keys.Seal(plain, "flow", fs.deps.Config.Issuer)), nil
}

func (fs *Flows) unseal(flowID string) (*sealedFlow, error) {
	box, err := base64.RawURLEncoding.DecodeString(flowID)
	if err != nil {
		return nil, ErrInvalid
	}
	plain, err := fs.deps.Keys.Open(box, "flow", fs.deps.Config.Issuer)
	if err != nil {
		return nil, ErrInvalid
	}
	s := new(sealedFlow)
	if err := json.Unmarshal(plain, s); err != nil {
		return nil, ErrInvalid
	}
	return s, nil
}

// Begin makes a checked authorization request a flow of the browser that sent
// it, and returns the flow_id. It stores nothing: anybody can send one.
func (fs *Flows) Begin(ctx context.Context, w http.ResponseWriter, req *AuthorizationRequest) (string, error) {
	secret := oauth.NewSecret("")
	browser := storage.HashOf(secret)
	s := &sealedFlow{
		ID: newFlowID(), ClientID: req.Client.ID, Fingerprint: req.Client.Fingerprint[:], RedirectURI: req.RedirectURI,
		State: []byte(req.State), Challenge: req.Challenge, Scope: req.Scope, Resources: req.Resources,
		Browser: browser[:], ExpiresAt: fs.deps.Now().Add(time.Duration(fs.deps.Config.FlowLifetime) + fs.ahead()).Unix(),
	}
	sealed, err := fs.seal(s)
	if err != nil {
		return "", err
	}
	fs.pending.note(req.Client)
	// Never taken back: a browser that answers twice is told so only while it
	// can show the cookie.
	http.SetCookie(w, fs.cookies.Cookie(fs.cookies.FlowName(s.ID), secret, time.Duration(fs.deps.Config.FlowLifetime)))
	fs.deps.Events.Record(ctx, event.Event{
		Kind: event.SignInStarted, Flow: PublicID(s.ID), Client: req.Client.ID, ClientName: req.Client.Metadata.ClientName, By: event.ByClient,
		Detail: waitsAt(req.RedirectURI),
	})
	return sealed, nil
}

// waitsAt says where a client waits for the answer, if a browser elsewhere cannot
// reach that.
func waitsAt(redirectURI string) string {
	if u, err := url.Parse(redirectURI); err == nil && u.Scheme == "http" {
		return "The client waits on its own machine."
	}
	return ""
}

func newFlowID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// Open returns the flow with the flow_id, if the request comes from the
// browser that started it. Anything but a page load must also carry the flow's
// csrf_token in r.PostForm, which the caller has filled.
func (fs *Flows) Open(r *http.Request, flowID string) (*Flow, error) {
	return fs.open(r, flowID, func(r *http.Request, s *sealedFlow) { fs.readAhead(r, s, "") })
}

// OpenWithLastGrant is Open for a request that asks for the last grant of its person and
// client, too.
func (fs *Flows) OpenWithLastGrant(r *http.Request, flowID string) (*Flow, error) {
	return fs.open(r, flowID, func(r *http.Request, s *sealedFlow) { fs.readAhead(r, s, s.ClientID) })
}

// OpenAgain is Open for a browser that comes back from where its person signed in: what
// Wanted returned was read then.
func (fs *Flows) OpenAgain(r *http.Request, flowID string) (*Flow, error) {
	return fs.open(r, flowID, func(*http.Request, *sealedFlow) {})
}

func (fs *Flows) open(r *http.Request, flowID string, readAhead func(*http.Request, *sealedFlow)) (*Flow, error) {
	s, err := fs.unseal(flowID)
	if err != nil {
		return nil, err
	}
	event.Learn(r.Context(), event.Event{Flow: PublicID(s.ID), Client: s.ClientID})
	now := fs.deps.Now()
	expires := time.Unix(s.ExpiresAt, 0).Add(-fs.ahead())
	if !now.Before(expires) {
		return nil, ErrExpired
	}
	secret := fs.cookies.Secret(r, fs.cookies.FlowName(s.ID))
	browser := storage.HashOf(secret)
	if secret == "" || subtle.ConstantTimeCompare(browser[:], s.Browser) != 1 {
		return nil, ErrOtherBrowser
	}
	f := &Flow{
		SealedID: flowID, ID: s.ID, RedirectURI: s.RedirectURI, State: string(s.State), Challenge: s.Challenge,
		Scope: s.Scope, Resources: s.Resources, ExpiresAt: expires, CSRFToken: sessions.CSRFToken(secret, s.ID),
		browser: browser, address: fs.deps.ClientIP(r), codeLifetime: time.Duration(fs.deps.Config.CodeLifetime),
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead && !sessions.CarriesCSRFToken(r, f.CSRFToken) {
		return nil, sessions.ErrForged
	}
	readAhead(r, s)
	if f.Client, err = fs.client(r.Context(), s, f.address); err != nil {
		return nil, err
	}
	switch stored, err := fs.deps.Store.Flow(r.Context(), s.ID, now); {
	case errors.Is(err, storage.ErrNotFound):
	case err != nil:
		return nil, oauth.Unavailable(err)
	case stored.Submitted:
		return nil, ErrSubmitted
	case fs.deps.Policy.Allows(stored.Identity):
		return f, fs.setIdentity(r.Context(), f, stored)
	}
	return f, nil
}

// Wanted is what OpenAgain asks for.
func (fs *Flows) Wanted(f *Flow) storage.Wanted {
	return storage.Wanted{Issuer: fs.deps.Config.Issuer, Client: fs.deps.Clients.RegisteredID(f.Client.ID), Flow: f.ID, Session: f.session}
}

// readAhead has read what most requests of a flow ask for. It is not done for who is
// not in its browser.
func (fs *Flows) readAhead(r *http.Request, s *sealedFlow, lastGrantOf string) {
	w := storage.Wanted{Issuer: fs.deps.Config.Issuer, Client: fs.deps.Clients.RegisteredID(s.ClientID), Flow: s.ID, Session: fs.deps.Sessions.Of(r), LastGrantOf: lastGrantOf}
	if server := r.PostForm.Get("server"); server != "" && fs.deps.Connections != nil {
		w.Connection = storage.ConnectionKey{Issuer: w.Issuer, Owner: storage.FlowOwner(s.ID), Server: server}
		w.LastDisconnect = true
	}
	storage.ReadAhead(r.Context(), fs.deps.Store, w)
}

// setIdentity tells the flow whose it is. Somebody who is known by a session is
// not once that has ended.
func (fs *Flows) setIdentity(ctx context.Context, f *Flow, stored storage.Flow) error {
	if known, err := fs.deps.Sessions.KnownStill(ctx, stored); err != nil || !known {
		return err
	}
	f.Identity, f.session = &stored.Identity, stored.Session
	event.Learn(ctx, event.Event{Person: stored.Identity.Subject, Identity: stored.Identity.Kind})
	return nil
}

// client returns the client of a flow, unless it became another since it
// asked: whatever the person reads must be what the request was checked against.
// A flow is sealed, so its client was known here.
func (fs *Flows) client(ctx context.Context, s *sealedFlow, address string) (*clients.Client, error) {
	client, err := fs.deps.Clients.Lookup(ctx, s.ClientID, clients.Requester{Address: address, Known: true})
	if e := (*oauth.Error)(nil); errors.As(err, &e) && e.Status < http.StatusInternalServerError {
		return nil, ErrInvalid
	}
	if err != nil {
		return nil, err
	}
	if string(client.Fingerprint[:]) != string(s.Fingerprint) {
		return nil, ErrInvalid
	}
	return client, nil
}

// Servers returns the MCP servers the person may grant in this flow: those the
// client asked for, or all, as far as the scope means something to them and
// their identity allows.
func (fs *Flows) Servers(f *Flow) []*config.Server {
	servers := fs.deps.Config.Servers
	if len(f.Resources) > 0 {
		servers = fs.deps.Policy.ServersAt(f.Resources)
	}
	var offered []*config.Server
	for _, s := range servers {
		if f.Identity != nil && !fs.deps.Policy.MayUse(*f.Identity, s) {
			continue
		}
		if len(s.Scopes) > 0 && !slices.ContainsFunc(f.Scope, s.HasScope) {
			continue
		}
		offered = append(offered, s)
	}
	return offered
}

// Asked returns the MCP servers that the client asks for, whoever the person is.
func (fs *Flows) Asked(f *Flow) []*config.Server {
	anybody := *f
	anybody.Identity = nil
	return fs.Servers(&anybody)
}

// OptionalScope returns what the person can leave out of the requested scope.
func (fs *Flows) OptionalScope(f *Flow) []string {
	return grants.OptionalScope(f.Scope, fs.Servers(f))
}

package consent

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// fakeAccounts is an authorization server with one browser, whose cookie is
// "browser" and whose forms carry "csrf-b". The one link it knows is "ticket".
type fakeAccounts struct {
	servers []*config.Server
	person  *storage.Identity // signed in
	grants  []storage.Grant
	link    authz.ConnectLink
	linkErr error

	revoked       []string
	proved        []storage.Identity
	everywhere    string
	linkUsed      error
	left          bool
	accountsError error // of every method
}

func (s *fakeAccounts) OpenBrowserSession(_ http.ResponseWriter, r *http.Request) (*authz.Session, error) {
	if s.accountsError != nil {
		return nil, s.accountsError
	}
	if r.Method == http.MethodPost && r.PostForm.Get("csrf_token") != "csrf-b" {
		return nil, authz.ErrForged
	}
	return &authz.Session{Identity: s.person, CSRFToken: "csrf-b"}, nil
}

func (s *fakeAccounts) SignIn(_ http.ResponseWriter, _ *http.Request, id storage.Identity) error {
	s.person = &id
	return s.accountsError
}

func (s *fakeAccounts) SignOut(http.ResponseWriter, *http.Request) error {
	s.person = nil
	return nil
}

func (s *fakeAccounts) SignOutEverywhere(_ context.Context, subject string) error {
	s.everywhere, s.person = subject, nil
	return nil
}

func (s *fakeAccounts) ForgetBrowser(http.ResponseWriter) {}

func (s *fakeAccounts) ServersOf(storage.Identity) []*config.Server { return s.servers }

func (s *fakeAccounts) Grants(context.Context, string) ([]storage.Grant, error) { return s.grants, nil }

func (s *fakeAccounts) RevokeGrantOf(_ context.Context, subject, grantID string) error {
	if !slices.ContainsFunc(s.grants, func(g storage.Grant) bool { return g.ID == grantID && g.Identity.Subject == subject }) {
		return authz.ErrNoSuchGrant
	}
	s.revoked = append(s.revoked, grantID)
	return nil
}

func (s *fakeAccounts) OpenConnectLink(ticket string) (*authz.ConnectLink, error) {
	if ticket != "ticket" {
		return nil, authz.ErrLinkInvalid
	}
	link := s.link
	return &link, s.linkErr
}

func (s *fakeAccounts) ProvedAgain(_ context.Context, id storage.Identity) error {
	s.proved = append(s.proved, id)
	return nil
}

func (s *fakeAccounts) CheckAuthentication(*http.Request, storage.Authentication, string) error {
	if s.left {
		return authz.ErrSignedOut
	}
	return nil
}

func (s *fakeAccounts) CheckLinkUnused(context.Context, *authz.ConnectLink) error { return s.linkUsed }

// fakeBroker connects the servers of newFake: Notion by OAuth, GitHub by a key.
type fakeBroker struct {
	servers map[string]*accounts.Server
	// connections by owner and server
	connections map[[2]string]accounts.Status
	err         error // of the next step

	trip           *accounts.ConnectRequest
	answers        []accounts.Answer
	sealed         accounts.Answer
	pasted         map[string]string
	authentication storage.Authentication // of who pasted
	ended          [][2]string
}

func newFakeBroker() *fakeBroker {
	return &fakeBroker{
		servers: map[string]*accounts.Server{
			"notion": {ID: "notion", Mode: accounts.PerUserOAuth, Required: true, Scopes: []string{"pages.read", "pages.write"}},
			"github": {ID: "github", Mode: accounts.PerUserHeaders, Headers: []accounts.Header{{Name: "Authorization", Label: "Personal access token", Prefix: "Bearer "}, {Name: "X-Team"}}},
		},
		connections: map[[2]string]accounts.Status{},
	}
}

func (b *fakeBroker) Server(id string) *accounts.Server { return b.servers[id] }

func (b *fakeBroker) RequestedScopes(_ context.Context, server string) []string {
	return b.servers[server].Scopes
}

// connected gives an owner a connection.
func (b *fakeBroker) connected(owner, server string, state storage.ConnectionState, scopes ...string) {
	b.connections[[2]string{owner, server}] = accounts.Status{
		Server: server, State: state, ID: "id", Scopes: scopes, Since: time.Date(2026, 3, 4, 5, 6, 0, 0, time.UTC),
	}
}

func (b *fakeBroker) Start(_ context.Context, t accounts.ConnectRequest) (string, error) {
	b.trip = &t
	return "https://provider.example/authorize?state=state-1", b.err
}

func (b *fakeBroker) Finish(_ context.Context, a accounts.Answer) (accounts.Outcome, error) {
	b.answers = append(b.answers, a)
	if b.trip == nil || a.State != "state-1" {
		return accounts.Outcome{}, &accounts.Error{Problem: accounts.RequestEnded}
	}
	if a.Browser != b.trip.Browser {
		return accounts.Outcome{}, &accounts.Error{Problem: accounts.OtherBrowser}
	}
	outcome := accounts.Outcome{Server: b.trip.Server, Owner: b.trip.Owner, ReturnTo: b.trip.ReturnTo}
	if b.trip.Owner != storage.SharedOwner {
		if err := a.Present(b.trip.Authentication, b.trip.Server); err != nil {
			return outcome, err
		}
	}
	if b.err == nil {
		b.connected(b.trip.Owner, b.trip.Server, storage.Active, b.servers[b.trip.Server].Scopes...)
	}
	return outcome, b.err
}

func (b *fakeBroker) SealAnswer(a accounts.Answer) string {
	b.sealed = a
	return "sealed-answer"
}

func (b *fakeBroker) OpenAnswer(string) (accounts.Answer, error) { return b.sealed, nil }

func (b *fakeBroker) ConnectHeaders(_ context.Context, owner, server string, values map[string]string, _ time.Time, p storage.Authentication) error {
	if b.err != nil {
		return b.err
	}
	b.pasted, b.authentication = values, p
	b.connected(owner, server, storage.Active)
	return nil
}

func (b *fakeBroker) Status(_ context.Context, owner string) ([]accounts.Status, error) {
	var all []accounts.Status
	for _, server := range []string{"notion", "github"} {
		status := b.connections[[2]string{owner, server}]
		status.Server = server
		all = append(all, status)
	}
	return all, nil
}

func (b *fakeBroker) Disconnect(_ context.Context, owner, server string) error {
	delete(b.connections, [2]string{owner, server})
	b.ended = append(b.ended, [2]string{owner, server})
	return b.err
}

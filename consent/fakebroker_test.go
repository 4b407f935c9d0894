package consent

import (
	"context"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// fakeBroker connects the servers of testConfig, Notion by OAuth, GitHub by a
// key, and fails as it is told to.
type fakeBroker struct {
	servers map[string]*config.Server
	// connections by owner and server
	connections map[[2]string]accounts.Status
	err         error  // of the next step
	looked      func() // is called when somebody looks at connections, unless nil

	started        *accounts.ConnectRequest
	answers        []accounts.Answer
	sealed         accounts.Answer
	pasted         map[string]string
	authentication storage.Authentication // of who pasted
	ended          [][2]string
}

func newFakeBroker() *fakeBroker {
	return &fakeBroker{
		servers: map[string]*config.Server{
			"notion": {ID: "notion", Auth: &config.Auth{Mode: config.PerUserOAuth, Scopes: []string{"pages.read", "pages.write"}}},
			"github": {ID: "github", Auth: &config.Auth{Mode: config.PerUserHeaders, Optional: true, Headers: []config.AuthHeader{{Name: "Authorization", Label: "Personal access token", Prefix: "Bearer "}, {Name: "X-Team"}}}},
		},
		connections: map[[2]string]accounts.Status{},
	}
}

func (b *fakeBroker) RequestedScopes(_ context.Context, server string) []string {
	return b.servers[server].Auth.Scopes
}

// connected gives an owner a connection.
func (b *fakeBroker) connected(owner, server string, state storage.ConnectionState, scopes ...string) {
	b.connections[[2]string{owner, server}] = accounts.Status{
		Server: server, Owner: owner, State: state, ID: "id", Scopes: scopes, Since: time.Date(2026, 3, 4, 5, 6, 0, 0, time.UTC),
	}
}

func (b *fakeBroker) Start(_ context.Context, t accounts.ConnectRequest) (string, error) {
	b.started = &t
	return "https://provider.example/authorize?state=state-1", b.err
}

func (b *fakeBroker) Finish(_ context.Context, a accounts.Answer) (accounts.Outcome, error) {
	b.answers = append(b.answers, a)
	if b.started == nil || a.State != "state-1" {
		return accounts.Outcome{}, &client.Error{Problem: accounts.RequestEnded}
	}
	if a.Browser != b.started.Browser {
		return accounts.Outcome{}, &client.Error{Problem: accounts.OtherBrowser}
	}
	outcome := accounts.Outcome{Server: b.started.Server, Owner: b.started.Owner, ReturnTo: b.started.ReturnTo}
	if b.started.Owner != storage.SharedOwner {
		if err := a.Present(b.started.Authentication, b.started.Server); err != nil {
			return outcome, err
		}
	}
	if b.err == nil {
		b.connected(b.started.Owner, b.started.Server, storage.Active, b.servers[b.started.Server].Auth.Scopes...)
	}
	return outcome, b.err
}

func (b *fakeBroker) Rename(_ context.Context, owner, server, label string) error {
	status := b.connections[[2]string{owner, server}]
	status.Label = label
	b.connections[[2]string{owner, server}] = status
	return b.err
}

func (b *fakeBroker) SealAnswer(a accounts.Answer) string {
	b.sealed = a
	return "sealed-answer"
}

func (b *fakeBroker) OpenAnswer(string) (accounts.Answer, error) { return b.sealed, nil }

func (b *fakeBroker) ConnectHeaders(_ context.Context, r accounts.ConnectRequest, values map[string]string) error {
	if b.err != nil {
		return b.err
	}
	b.pasted, b.authentication = values, r.Authentication
	b.connected(r.Owner, r.Server, storage.Active)
	return nil
}

func (b *fakeBroker) Status(_ context.Context, owner string) ([]accounts.Status, error) {
	if b.looked != nil {
		b.looked()
	}
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

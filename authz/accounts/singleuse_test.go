package accounts

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

func (g *gateway) singleUse() ConnectRequest {
	t := g.request()
	t.SingleUse = storage.HashOf("a link")
	return t
}

func TestOneConnectionOfSeveralRequests(t *testing.T) {
	g := newGateway(t)
	first, second := g.answerTo(g.start(g.singleUse())), g.answerTo(g.start(g.singleUse()))
	third := g.answerTo(g.start(g.singleUse()))
	if _, err := g.Finish(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	before, _ := g.connection()
	for _, late := range []Answer{first, third} {
		_, err := g.Finish(t.Context(), late)
		wantProblem(t, err, RequestEnded)
		g.clock.Advance(connectLifetime - time.Second)
	}
	if after, _ := g.connection(); after.Revision != before.Revision {
		t.Error("another connection took its place")
	}
	exchanged := 0
	for _, r := range g.provider.Requests("/token") {
		if r.Form.Get("code") == second.Code {
			exchanged++
		}
	}
	if exchanged != 1 {
		t.Errorf("%d codes were exchanged", exchanged)
	}
	g.connect() // what is not bound to a link goes on to work
}

// Requests that come back at the same time all have tokens before one is stored.
func TestOneConnectionOfRequestsThatRace(t *testing.T) {
	g := newGateway(t)
	const requests = 8
	var answers []Answer
	for range requests {
		answers = append(answers, g.answerTo(g.start(g.singleUse())))
	}
	var exchanging sync.WaitGroup
	exchanging.Add(requests)
	reply := oauthtest.Document(oauthtest.Object{"access_token": "at-1", "token_type": "Bearer"})
	g.provider.Page("/token", func(w http.ResponseWriter, r *http.Request) {
		exchanging.Done()
		exchanging.Wait()
		reply(w, r)
	})
	outcomes := make(chan error, requests)
	for _, a := range answers {
		go func() {
			_, err := g.Finish(t.Context(), a)
			outcomes <- err
		}()
	}
	connected := 0
	for range requests {
		if err := <-outcomes; err == nil {
			connected++
		} else {
			wantProblem(t, err, RequestEnded)
		}
	}
	if connected != 1 || g.connections()[0].Revision != 1 {
		t.Errorf("%d connected", connected)
	}
}

// What fails at the provider may be tried again with the same link.
func TestFailureUsesNothingUp(t *testing.T) {
	g := newGateway(t)
	declined := g.answerTo(g.start(g.singleUse()))
	declined.Code, declined.Error = "", "access_denied"
	_, err := g.Finish(t.Context(), declined)
	wantProblem(t, err, client.Declined)

	honest := g.provider.Page("/token", oauthtest.Answer(http.StatusBadRequest, "application/json", `{"error":"invalid_grant"}`))
	_, err = g.Finish(t.Context(), g.answerTo(g.start(g.singleUse())))
	wantProblem(t, err, client.ProviderRefused)

	g.provider.Page("/token", honest)
	if _, err := g.Finish(t.Context(), g.answerTo(g.start(g.singleUse()))); err != nil {
		t.Error(err)
	}
}

// What comes too late is not kept, and so the provider is told, unless that
// could end what was kept.
func TestLateTokensAreRevoked(t *testing.T) {
	for name, tt := range map[string]struct {
		meanwhile func(g *gateway, finish func())
		want      []string
	}{
		"the same client": {meanwhile: func(_ *gateway, finish func()) { finish() }},
		"another client": {
			want: []string{"late-refresh", "late-access"},
			meanwhile: func(g *gateway, finish func()) {
				if err := g.forgetClient(g.t.Context(), "notion", g.provider.URL, "dynamic-1"); err != nil {
					g.t.Error(err)
				}
				g.provider.Page("/register", oauthtest.Document(oauthtest.Object{"client_id": "dynamic-2", "token_endpoint_auth_method": oauth.AuthNone}))
				finish()
			},
		},
		"ended since": {
			want: []string{"late-refresh", "late-access"},
			meanwhile: func(g *gateway, finish func()) {
				finish()
				if err := g.Disconnect(g.t.Context(), testOwner, "notion"); err != nil {
					g.t.Error(err)
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t)
			g.provider.Page(asMetadataPath, oauthtest.Document(oauthtest.With(g.metadata(), "revocation_endpoint", g.provider.URL+"/revoke")))
			g.provider.Page("/register", oauthtest.Document(oauthtest.Object{"client_id": "dynamic-1", "token_endpoint_auth_method": oauth.AuthNone}))
			g.provider.Page("/revoke", oauthtest.Answer(http.StatusOK, "application/json", "{}"))
			first := oauthtest.Document(oauthtest.Object{"access_token": "at-1", "token_type": "Bearer", "refresh_token": "rt-1"})
			g.provider.Page("/token", func(w http.ResponseWriter, _ *http.Request) {
				g.provider.Page("/token", first)
				tt.meanwhile(g, func() {
					if _, err := g.Finish(t.Context(), g.answerTo(g.start(g.singleUse()))); err != nil {
						t.Error(err)
					}
				})
				oauthtest.Document(oauthtest.Object{"access_token": "late-access", "token_type": "Bearer", "refresh_token": "late-refresh"})(w, nil)
			})
			_, err := g.Finish(t.Context(), g.answerTo(g.start(g.singleUse())))
			wantProblem(t, err, RequestEnded)
			g.Broker.deps.Shared.revocations.Wait()
			var revoked []string
			for _, r := range g.provider.Requests("/revoke") {
				if token := r.Form.Get("token"); strings.HasPrefix(token, "late") {
					revoked = append(revoked, token)
				}
			}
			if !slices.Equal(revoked, tt.want) {
				t.Errorf("revoked %v", revoked)
			}
		})
	}
}

// A link with which nothing was connected after all can be used again.
func TestWhatIsNotStoredUsesNothingUp(t *testing.T) {
	g := newGateway(t)
	var honest http.HandlerFunc
	honest = g.provider.Page("/token", func(w http.ResponseWriter, r *http.Request) {
		g.store.failWith(errStore)
		honest(w, r)
	})
	if _, err := g.Finish(t.Context(), g.answerTo(g.start(g.singleUse()))); !errors.Is(err, errStore) {
		t.Fatal(err)
	}
	g.store.failWith(nil)
	g.provider.Page("/token", honest)
	if _, err := g.Finish(t.Context(), g.answerTo(g.start(g.singleUse()))); err != nil {
		t.Error(err)
	}
}

// A link that was opened before what it is for was disconnected connects nothing
// after that, however long the way to the provider takes to begin.
func TestLinkFromBeforeADisconnect(t *testing.T) {
	g := newGateway(t)
	if err := g.Disconnect(t.Context(), testOwner, "notion"); err != nil {
		t.Fatal(err)
	}
	_, err := g.Finish(t.Context(), g.answerTo(g.start(g.singleUse())))
	wantProblem(t, err, RequestEnded)
	if len(g.connections()) != 0 {
		t.Error("connected")
	}
	again := g.singleUse()
	if again.LastDisconnect, err = g.store.LastDisconnect(t.Context(), g.key(testOwner, g.cfg.Servers[0])); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Finish(t.Context(), g.answerTo(g.start(again))); err != nil {
		t.Error(err)
	}
}

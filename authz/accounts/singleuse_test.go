package accounts

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

func (l *lab) singleUse() ConnectRequest {
	t := l.request()
	t.SingleUse = storage.HashOf("a link")
	return t
}

func TestOneConnectionOfSeveralRequests(t *testing.T) {
	l := newLab(t)
	first, second := l.answerTo(l.start(l.singleUse())), l.answerTo(l.start(l.singleUse()))
	third := l.answerTo(l.start(l.singleUse()))
	if _, err := l.Finish(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	before, _ := l.connection()
	for _, late := range []Answer{first, third} {
		_, err := l.Finish(t.Context(), late)
		wantProblem(t, err, RequestEnded)
		l.now = l.now.Add(connectLifetime - time.Second)
	}
	if after, _ := l.connection(); after.Revision != before.Revision {
		t.Error("another connection took its place")
	}
	exchanged := 0
	for _, r := range l.provider.Requests("/token") {
		if r.Form.Get("code") == second.Code {
			exchanged++
		}
	}
	if exchanged != 1 {
		t.Errorf("%d codes were exchanged", exchanged)
	}
	l.connect() // what is not bound to a link goes on to work
}

// Requests that come back at the same time all have tokens before one is stored.
func TestOneConnectionOfRequestsThatRace(t *testing.T) {
	l := newLab(t)
	const requests = 8
	var answers []Answer
	for range requests {
		answers = append(answers, l.answerTo(l.start(l.singleUse())))
	}
	var exchanging sync.WaitGroup
	exchanging.Add(requests)
	reply := oauthtest.Document(oauthtest.Object{"access_token": "at-1", "token_type": "Bearer"})
	l.provider.Page("/token", func(w http.ResponseWriter, r *http.Request) {
		exchanging.Done()
		exchanging.Wait()
		reply(w, r)
	})
	outcomes := make(chan error, requests)
	for _, a := range answers {
		go func() {
			_, err := l.Finish(t.Context(), a)
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
	if connected != 1 || l.connections()[0].Revision != 1 {
		t.Errorf("%d connected", connected)
	}
}

// What fails at the provider may be tried again with the same link.
func TestFailureUsesNothingUp(t *testing.T) {
	l := newLab(t)
	declined := l.answerTo(l.start(l.singleUse()))
	declined.Code, declined.Error = "", "access_denied"
	_, err := l.Finish(t.Context(), declined)
	wantProblem(t, err, Declined)

	honest := l.provider.Page("/token", oauthtest.Answer(http.StatusBadRequest, "application/json", `{"error":"invalid_grant"}`))
	_, err = l.Finish(t.Context(), l.answerTo(l.start(l.singleUse())))
	wantProblem(t, err, ProviderRefused)

	l.provider.Page("/token", honest)
	if _, err := l.Finish(t.Context(), l.answerTo(l.start(l.singleUse()))); err != nil {
		t.Error(err)
	}
}

// What comes too late is not kept, and so the provider is told, unless that
// could end what was kept.
func TestLateTokensAreRevoked(t *testing.T) {
	for name, tt := range map[string]struct {
		meanwhile func(l *lab, finish func())
		want      []string
	}{
		"the same client": {meanwhile: func(_ *lab, finish func()) { finish() }},
		"another client": {
			want: []string{"late-refresh", "late-access"},
			meanwhile: func(l *lab, finish func()) {
				if err := l.forgetClient(l.t.Context(), "notion", l.provider.URL, "dynamic-1"); err != nil {
					l.t.Error(err)
				}
				l.provider.Page("/register", oauthtest.Document(oauthtest.Object{"client_id": "dynamic-2", "token_endpoint_auth_method": oauth.AuthNone}))
				finish()
			},
		},
		"ended since": {
			want: []string{"late-refresh", "late-access"},
			meanwhile: func(l *lab, finish func()) {
				finish()
				if err := l.Disconnect(l.t.Context(), testOwner, "notion"); err != nil {
					l.t.Error(err)
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			l.provider.Page(asMetadataPath, oauthtest.Document(oauthtest.With(l.metadata(), "revocation_endpoint", l.provider.URL+"/revoke")))
			l.provider.Page("/register", oauthtest.Document(oauthtest.Object{"client_id": "dynamic-1", "token_endpoint_auth_method": oauth.AuthNone}))
			l.provider.Page("/revoke", oauthtest.Answer(http.StatusOK, "application/json", "{}"))
			first := oauthtest.Document(oauthtest.Object{"access_token": "at-1", "token_type": "Bearer", "refresh_token": "rt-1"})
			l.provider.Page("/token", func(w http.ResponseWriter, _ *http.Request) {
				l.provider.Page("/token", first)
				tt.meanwhile(l, func() {
					if _, err := l.Finish(t.Context(), l.answerTo(l.start(l.singleUse()))); err != nil {
						t.Error(err)
					}
				})
				oauthtest.Document(oauthtest.Object{"access_token": "late-access", "token_type": "Bearer", "refresh_token": "late-refresh"})(w, nil)
			})
			_, err := l.Finish(t.Context(), l.answerTo(l.start(l.singleUse())))
			wantProblem(t, err, RequestEnded)
			l.Broker.deps.Shared.revocations.Wait()
			var revoked []string
			for _, r := range l.provider.Requests("/revoke") {
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
	l := newLab(t)
	var honest http.HandlerFunc
	honest = l.provider.Page("/token", func(w http.ResponseWriter, r *http.Request) {
		l.store.failWith(errStore)
		honest(w, r)
	})
	if _, err := l.Finish(t.Context(), l.answerTo(l.start(l.singleUse()))); !errors.Is(err, errStore) {
		t.Fatal(err)
	}
	l.store.failWith(nil)
	l.provider.Page("/token", honest)
	if _, err := l.Finish(t.Context(), l.answerTo(l.start(l.singleUse()))); err != nil {
		t.Error(err)
	}
}

// A link that was opened before what it is for was disconnected connects nothing
// after that, however long the way to the provider takes to begin.
func TestLinkFromBeforeADisconnect(t *testing.T) {
	l := newLab(t)
	if err := l.Disconnect(t.Context(), testOwner, "notion"); err != nil {
		t.Fatal(err)
	}
	_, err := l.Finish(t.Context(), l.answerTo(l.start(l.singleUse())))
	wantProblem(t, err, RequestEnded)
	if len(l.connections()) != 0 {
		t.Error("connected")
	}
	again := l.singleUse()
	if again.LastDisconnect, err = l.store.LastDisconnect(t.Context(), l.key(testOwner, l.cfg.Servers[0])); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Finish(t.Context(), l.answerTo(l.start(again))); err != nil {
		t.Error(err)
	}
}

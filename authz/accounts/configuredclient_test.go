package accounts

import (
	"strings"
	"testing"
)

func TestConfiguredClient_CL7_K09(t *testing.T) {
	both := []string{authBasic, authPost}
	for name, tt := range map[string]struct {
		secret, quirk string
		supported     []string
		want          string
	}{
		"with a secret":            {"s", "", both, authBasic},
		"metadata says nothing":    {"s", "", nil, authBasic},
		"metadata says post":       {"s", "", []string{authPost}, authPost},
		"public":                   {"", "", both, authNone},
		"the operator knows":       {"s", authPost, both, authPost},
		"the operator knows a key": {"", authPrivateKeyJWT, both, authPrivateKeyJWT},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, func(_ *Config, s *Server) {
				s.Client, s.Quirks.AuthMethod = &Client{ID: "ours", Secret: tt.secret, CallbackPath: "/own/callback"}, tt.quirk
			})
			l.provider.page(asMetadataPath, document(with(l.metadata(), "token_endpoint_auth_methods_supported", tt.supported)))
			request := l.connect()
			if request.Get("client_id") != "ours" || request.Get("redirect_uri") != testIssuer+"/own/callback" {
				t.Errorf("request %v", request)
			}
			r := l.provider.requests("/token")
			if len(r) != 1 {
				t.Fatalf("%d token requests", len(r))
			}
			got := authNone
			switch {
			case r[0].header.Get("Authorization") != "":
				got = authBasic
			case r[0].form.Has("client_secret"):
				got = authPost
			case r[0].form.Has("client_assertion"):
				got = authPrivateKeyJWT
			}
			if got != tt.want {
				t.Errorf("authenticates with %s, want %s", got, tt.want)
			}
		})
	}
}

// A configured client that the configuration no longer has is not replaced by
// another one for a code that was made for it.
func TestConfiguredClientChanges_K15(t *testing.T) {
	l := newLab(t, func(_ *Config, s *Server) { s.Client = &Client{ID: "ours", Secret: "hush"} })
	a := l.answerTo(l.begin(l.trip()))
	l.cfg.Servers[0].Client = &Client{ID: "other", Secret: "hush too"}
	_, err := l.Finish(t.Context(), a)
	if wantProblem(t, err, ProviderRefused); len(l.provider.requests("/token")) != 0 {
		t.Error("the code went with another client")
	}
}

func TestStoreFails_Pin(t *testing.T) {
	l := newLab(t, func(_ *Config, s *Server) { s.Client = &Client{ID: "ours"} })
	pinned := l.seal(issuerPin{}, "another place")
	l.connect()
	c := l.store.clients[0]
	c.Secret = pinned
	if err := l.store.swapUpstreamClient(t.Context(), c, l.now); err != nil {
		t.Fatal(err)
	}
	_, err := l.Begin(t.Context(), l.trip())
	wantProblem(t, err, ProviderUnusable)
	if err == nil || !strings.Contains(err.Error(), "does not open") {
		t.Errorf("a pin that cannot be read: %v", err)
	}
}

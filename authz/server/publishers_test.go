package server

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap/zapcore"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// advertised reports whether clients read that documents are supported.
func (ts *testServer) advertised() bool {
	return ts.advertisedAt(oauth.AuthorizationServerPath)
}

func (ts *testServer) advertisedAt(path string) bool {
	body := fetch(serveRoutes(ts.as.Routes()), http.MethodGet, path).Body.String()
	return strings.Contains(body, `"client_id_metadata_document_supported":true`)
}

// Clients whose documents cannot be fetched register in another way, if they
// are not told that documents will do.
func TestUnreachablePublisher(t *testing.T) {
	ts, _ := newDocumentServer(t, func(c *siteConfig) { c.Registration.AllowHosts = []string{"127.0.0.1", ".example.com"} })
	id, publish := oauthtest.Unreachable(t, "127.0.0.1", goodDocument)
	if !ts.advertised() {
		t.Fatal("documents are not advertised before one was asked for")
	}
	_, err := ts.lookup(id)
	if err == nil || oauth.AsError(err).Status != http.StatusBadRequest || !strings.Contains(oauth.AsError(err).Description, "cannot fetch descriptions of applications") {
		t.Errorf("the person reads %v", err)
	}
	for _, path := range []string{oauth.AuthorizationServerPath, oauth.OpenIDConfigurationPath, oauth.AuthorizationServerPath + "/mcp/", "/mcp/notion" + oauth.OpenIDConfigurationPath} {
		if ts.advertisedAt(path) {
			t.Errorf("%s: documents are advertised though they cannot be fetched", path)
		}
	}
	warnings := ts.logs.FilterLevelExact(zapcore.WarnLevel).All()
	if len(warnings) != 1 || warnings[0].ContextMap()["provider"] != "127.0.0.1" || !strings.Contains(fmt.Sprint(warnings[0].ContextMap()["error"]), "refused") {
		t.Errorf("warnings: %v", warnings)
	}
	ts.reload(func(*siteConfig) {})
	if ts.advertised() {
		t.Error("a reload forgets that documents cannot be fetched")
	}

	publish()
	ts.clock.Advance(time.Minute - time.Second)
	if ts.advertised() {
		t.Error("advertised without having been tried")
	}
	ts.clock.Advance(time.Second)
	ts.advertised() // whoever asks first has it tried again
	oauthtest.Eventually(t, "documents are not advertised after they can be fetched again", ts.advertised)
	if _, err := ts.lookup(id); err != nil {
		t.Error(err)
	}
}

// Where documents are the only way, not to advertise them helps nobody.
func TestDocumentsAreTheOnlyWay(t *testing.T) {
	token := storage.HashOf("initial access token")
	for name, change := range map[string]func(*config.Registration){
		"no dynamic registration": func(r *config.Registration) { r.Dynamic = new(false) },
		"registration by token":   func(r *config.Registration) { r.TokenHash = &token },
	} {
		t.Run(name, func(t *testing.T) {
			ts, _ := newDocumentServer(t, func(c *siteConfig) {
				c.Registration.AllowHosts = []string{"127.0.0.1"}
				change(c.Registration)
			})
			id, _ := oauthtest.Unreachable(t, "127.0.0.1", goodDocument)
			if _, err := ts.lookup(id); err == nil || ts.as.clients.DocumentsFetchable(t.Context()) {
				t.Fatal("the host is taken for reachable")
			}
			if !ts.advertised() {
				t.Error("not advertised")
			}
		})
	}
}

package caddymodule

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

func init() { caddy.RegisterModule(new(refusing)) }

var errRefusing = errors.New("refused by a handler")

// refusing is a handler with which no configuration loads.
type refusing struct{ caddyhttp.MiddlewareHandler }

// beside is the app of the configuration that was refused last.
var beside *App

func (*refusing) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.test_refusing", New: func() caddy.Module { return new(refusing) }}
}

func (*refusing) Provision(ctx caddy.Context) error {
	app, err := ctx.App(appName)
	if err != nil {
		return err
	}
	beside = app.(*App)
	return errRefusing
}

// What reaches a configuration that was refused is answered by the one that serves.
func TestRequestsOfARefusedConfiguration(t *testing.T) {
	up := oauthtest.Serve(t, nil)
	g := newGateway(t, alice+"server a /mcp "+up.URL)
	text, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(g.caddyfile(alice+"server b /mcp "+up.URL)), nil)
	if err != nil {
		t.Fatal(err)
	}
	var cfg caddy.Config
	if err := json.Unmarshal(text, &cfg); err != nil {
		t.Fatal(err)
	}
	var web caddyhttp.App
	if err := json.Unmarshal(cfg.AppsRaw["http"], &web); err != nil {
		t.Fatal(err)
	}
	for _, server := range web.Servers {
		server.Routes = append(server.Routes, caddyhttp.Route{HandlersRaw: []json.RawMessage{json.RawMessage(`{"handler":"test_refusing"}`)}})
	}
	cfg.AppsRaw["http"] = caddyconfig.JSON(web, nil)
	if err := caddy.Load(caddyconfig.JSON(cfg, nil), true); !errors.Is(err, errRefusing) && (err == nil || !strings.Contains(err.Error(), errRefusing.Error())) {
		t.Fatalf("got %v, want %v", err, errRefusing)
	}

	r := httptest.NewRequest(http.MethodGet, g.url+"/.well-known/oauth-protected-resource/mcp", nil)
	r.RequestURI = r.URL.RequestURI()
	w := httptest.NewRecorder()
	if err := beside.sites.handlers[0].ServeHTTP(w, r, caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil })); err != nil {
		t.Fatal(err)
	}
	if w.Code != http.StatusOK {
		t.Errorf("status %d, want %d: %s", w.Code, http.StatusOK, w.Body)
	}
}

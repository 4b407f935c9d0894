package caddymodule

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/encryptionkey"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// M04, M06: keys are 32 bytes in some usual form; no error repeats one.
func TestResolveKey_M04_M06(t *testing.T) {
	key := testKey("a")
	for _, text := range []string{
		fmt.Sprintf("%x", key), base64.StdEncoding.EncodeToString(key), base64.RawURLEncoding.EncodeToString(key) + "\n",
	} {
		t.Setenv("KEY", text)
		if got, err := resolveKey("{env.KEY}", true); err != nil || !bytes.Equal(got, key) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range []string{"canary", string(key), fmt.Sprintf("%x", key[:31])} {
		t.Setenv("KEY", text)
		if _, err := resolveKey("{env.KEY}", true); !errors.Is(err, encryptionkey.ErrForm) || strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := resolveKey("{env.NO_SUCH_KEY}", true); err == nil || !strings.Contains(err.Error(), "{env.NO_SUCH_KEY}: the environment variable is not set") {
		t.Errorf("missing: %v", err)
	}
}

// A16, M06, M07: a whole sign-in and a call leave no secret in the logs or in
// the configuration Caddy shows, though all is logged that can be.
func TestNoSecretIsKept_A16_M06_M07(t *testing.T) {
	t.Setenv("UPSTREAM", "Bearer canary-of-the-upstream")
	t.Setenv("DASHBOARD", "canary-of-the-dashboard")
	t.Setenv("KEY", base64.StdEncoding.EncodeToString(testKey("a")))
	up := oauthtest.Serve(t, nil)
	g := newGateway(t, alice+"server a /mcp "+up.URL)
	access := filepath.Join(g.dir, "access.log")
	text := g.caddyfile(alice + "server a /mcp " + up.URL + ` {
			auth headers {
				X-Secret {env.UPSTREAM}
			}
		}
		client dashboard {
			secret {env.DASHBOARD}
			redirect_uri https://dashboard.example/cb
		}`)
	text = strings.Replace(text, "storage bbolt {", "encryption_key {env.KEY}\nstorage bbolt {", 1)
	text = strings.Replace(text, "bind 127.0.0.1", "bind 127.0.0.1\nlog {\noutput file "+access+exampleFilter(t)+"}", 1)
	metrics := freeAddr(t)
	g.load(strings.Replace(text, "admin off", "admin "+metrics, 1))
	answer := g.signIn("client", g.url+"/mcp")
	status(t, g.call("POST", "/mcp", initialize, "Authorization", "Bearer "+accessToken(t, answer)), http.StatusOK)
	status(t, g.call("POST", "/mcp", initialize, "Authorization", "Bearer x"), http.StatusUnauthorized)
	logged, err := os.ReadFile(access)
	if err != nil || !bytes.Contains(logged, []byte("REDACTED")) || !bytes.Contains(logged, []byte(`"mcp_server":"a","mcp_client":"`+g.client)) ||
		!regexp.MustCompile(`"status":401,.*"mcp_server":"a"}`).Match(logged) {
		t.Errorf("the access log has no filtered URL or no fields: %v\n%s", err, logged)
	}
	if up.Last(t).Header.Get("X-Secret") == "" || g.code == "" {
		t.Fatal("nothing happened")
	}
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	shown := caddyconfig.JSON(activeHandler(t), nil)
	for where, haystack := range map[string]string{
		"access log": string(logged), "log": g.log(), "adapted configuration": string(config), "provisioned handler": string(shown),
		"provisioned app": string(caddyconfig.JSON(activeApp(), nil)), "metrics": g.scraped(metrics),
	} {
		for name, secret := range map[string]string{
			"code": g.code, "access token": accessToken(t, answer), "virtual key": aliceKey, "upstream credential": "canary-of-the-upstream",
			"client secret": "canary-of-the-dashboard", "encryption key": os.Getenv("KEY"),
		} {
			if strings.Contains(haystack, secret) {
				t.Errorf("%s: has the %s", where, name)
			}
		}
		if where == "access log" && strings.Contains(haystack, "state-canary") {
			t.Error("access log: has the state")
		}
	}
}

// exampleFilter returns the access log's format of Caddyfile.example.
func exampleFilter(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../Caddyfile.example")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "log {")
	filter, _, found := strings.Cut(rest, "\n\t}\n")
	if !found {
		t.Fatal("Caddyfile.example has no log block")
	}
	return filter + "\n"
}

// A16: a log that would keep codes is warned of, one that would not is not.
func TestAccessLogWarning_A16(t *testing.T) {
	const warning = "the access log records codes"
	const regexps = "log {\nformat filter {\nrequest>uri regexp %[1]q x\nrequest>headers>Referer delete\nresp_headers>Location regexp %[1]q x\n}\n}"
	query := "log {\nformat filter {\nrequest>uri query {\nreplace " + strings.Join(secretParams, " x\nreplace ") + " x\n}\nrequest>headers>Referer delete\nresp_headers>Location delete\n}\n}"
	for name, tt := range map[string]struct {
		log  string
		want bool
	}{
		"no access log": {"", false},
		"query only":    {query, false},
		"plain":         {"log", true},
		"half filtered": {"log {\nformat filter {\nrequest>uri delete\n}\n}", true},
		"code only":     {strings.Replace(query, "replace state x\n", "", 1), true},
		"another kind":  {"log {\nformat filter {\nrequest>uri ip_mask\nrequest>headers>Referer delete\nresp_headers>Location delete\n}\n}", true},
		"old filter":    {fmt.Sprintf(regexps, "([?&](code|state)=|/oauth/connect/)[^&]*"), true},
		"blunt filter":  {fmt.Sprintf(regexps, `[?].*`), false},
		"filtered":      {"log {" + exampleFilter(t) + "}", false},
		"default log":   {"log {\nhostnames other.example\n}", true}, // which takes what no other does
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t, alice+"server a /mcp http://127.0.0.1:1/mcp")
			g.load(strings.Replace(g.caddyfile(alice+"server a /mcp http://127.0.0.1:1/mcp"), "bind 127.0.0.1", "bind 127.0.0.1\n"+tt.log, 1))
			if got := strings.Contains(g.log(), warning); got != tt.want {
				t.Errorf("warned: %v", got)
			}
		})
	}
	for name, tt := range map[string]struct {
		log  string
		want bool
	}{
		"links, filtered": {"log {" + exampleFilter(t) + "}", false}, "links, query only": {query, true},
		"links, no Referer": {"log {\nformat filter {\nrequest>uri delete\nresp_headers>Location delete\n}\n}", true},
	} {
		t.Run(name, func(t *testing.T) {
			lines := alice + newService(t).server()
			g := newGateway(t, lines)
			g.load(strings.Replace(g.caddyfile(lines), "bind 127.0.0.1", "bind 127.0.0.1\n"+tt.log, 1))
			if got := strings.Contains(g.log(), warning); got != tt.want {
				t.Errorf("warned: %v", got)
			}
		})
	}
}

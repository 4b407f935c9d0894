package consent

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const keyPageURL = "/oauth/consent/key?chosen=github&flow_id=sealed&server=github"

func (s *site) paste(more ...string) *url.URL {
	w := s.post(flowPastePath, append([]string{"server", "github", "chosen", "github", "without", "", "identity", identity.FormValue(alice()),
		"key-0", "ghp_canary", "key-1", "team"}, more...)...)
	u, _ := url.Parse(w.Header().Get("Location"))
	return u
}

func TestKeyPage(t *testing.T) {
	s := connecting(t)
	w := s.pressConnect("github", "resource", "https://mcp.example.com/mcp/github")
	if w.Header().Get("Location") != keyPageURL {
		t.Fatalf("Location = %q", w.Header().Get("Location"))
	}
	page := s.get(keyPageURL).Body.String()
	for _, want := range []string{
		"Connect github", "Personal access token", "X-Team", `type="password"`, `autocomplete="off"`, "app.example",
		`action="` + flowPastePath + `"`, `name="chosen" value="github"`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q on the page", want)
		}
	}
	if back := s.paste(); back.String() != "/oauth/consent/mcps?chosen=github&flow_id=sealed&server=github" {
		t.Errorf("Location = %v", back)
	}
	if s.broker.pasted["Authorization"] != "ghp_canary" || s.broker.pasted["X-Team"] != "team" || s.broker.authentication != s.mustOpenFlow().Authentication() {
		t.Errorf("pasted = %v by %+v", s.broker.pasted, s.broker.authentication)
	}
	if s.broker.connections[[2]string{s.owner(), "github"}].State != storage.Active {
		t.Error("not the flow's")
	}
}

// A key that does not work is told so, and is nowhere afterwards.
func TestWrongKeyIsNotEchoed_K19(t *testing.T) {
	s := connecting(t)
	s.broker.err = &client.Error{Problem: accounts.WrongKey}
	back := s.paste()
	page := s.get(back.String()).Body.String()
	if back.Path != flowKeyPath || !strings.Contains(page, "does not accept this key") {
		t.Fatalf("Location = %v\n%s", back, page)
	}
	if strings.Contains(page, "ghp_canary") || strings.Contains(back.String(), "ghp_canary") {
		t.Error("the key is shown")
	}
	for _, entry := range s.logs.All() {
		for _, field := range entry.Context {
			if strings.Contains(field.String, "ghp_canary") {
				t.Error("the key is in the log")
			}
		}
	}
}

func TestKeyFormRefused(t *testing.T) {
	tests := map[string]struct {
		prepare func(*site)
		more    []string
		status  int
	}{
		"connected by OAuth": {nil, []string{"server", "notion"}, 404},
		"no such server":     {nil, []string{"server", "slack"}, 404},
		"no token":           {nil, []string{"csrf_token", ""}, 403},
		"somebody else":      {nil, []string{"identity", "x"}, 409},
		"too often":          {func(s *site) { s.exhausted() }, nil, 429},
		"store down":         {func(s *site) { s.broker.err = storage.ErrClosed }, nil, 503},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := connecting(t)
			if tt.prepare != nil {
				tt.prepare(s)
			}
			w := s.post(flowPastePath, append([]string{"server", "github", "identity", identity.FormValue(alice()), "key-0", "ghp_canary"}, tt.more...)...)
			if w.Code != tt.status || s.broker.pasted != nil {
				t.Errorf("status = %d, want %d; pasted %v", w.Code, tt.status, s.broker.pasted)
			}
		})
	}
	if w := connecting(t).get("/oauth/consent/key?flow_id=sealed&server=notion"); w.Code != http.StatusNotFound {
		t.Errorf("key page of a server without keys: %d", w.Code)
	}
}

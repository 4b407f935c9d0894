package accounts

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// refusals are connections whose credential a server refuses to some call, and
// that nobody can refresh.
var refusals = map[string]func(v *vaultInstance) (server string, c *Credential){
	"without a refresh token": func(v *vaultInstance) (string, *Credential) {
		return "notion", bearer(v.connectAs(alice, "notion", withoutRefresh))
	},
	"neither refresh token nor expiry": func(v *vaultInstance) (string, *Credential) {
		return "notion", bearer(v.connectAs(alice, "notion", withoutRefresh, withoutExpiry))
	},
	"in doubt, and tried in vain": func(v *vaultInstance) (string, *Credential) {
		token := v.connectAs(alice, "notion")
		c := v.record(alice, "notion")
		c.State, c.Retries = storage.InDoubt, maxRetries
		v.tamper(c)
		return "notion", bearer(token)
	},
	"the client is gone": func(v *vaultInstance) (string, *Credential) {
		token := v.connectAs(alice, "notion")
		v.servers["notion"].Auth.ClientID = "another"
		return "notion", bearer(token)
	},
	"a pasted key": func(v *vaultInstance) (string, *Credential) {
		v.paste(alice, "key-1")
		return "keyed", &Credential{Headers: []CredentialHeader{{Name: "X-Api-Key", Value: "key-1"}}}
	},
	"everybody's": func(v *vaultInstance) (string, *Credential) {
		v.connectAs(storage.SharedOwner, "shared", withoutRefresh)
		return "shared", bearer("at-1")
	},
}

// E24: whatever a client sends, the 401 to its call ends no connection. Only a
// 401 to a request of our own does.
func TestRefusalIsConfirmed_E24(t *testing.T) {
	for kind, connect := range refusals {
		for says, tt := range map[string]struct {
			page http.HandlerFunc
			want error
			ends bool
		}{
			"works":            {oauthtest.StatelessServer, ErrRefused, false},
			"works, an older":  {oauthtest.SessionServer, ErrRefused, false},
			"allows it little": {oauthtest.Answer(403, "text/plain", ""), ErrRefused, false},
			"fails":            {oauthtest.Answer(503, "text/plain", ""), ErrUnavailable, false},
			"wants fewer":      {oauthtest.Answer(429, "text/plain", ""), ErrUnavailable, false},
			"hangs up":         {oauthtest.HangUp, ErrUnavailable, false},
			"refuses":          {oauthtest.Answer(401, "text/plain", ""), ErrNeedsReauth, true},
		} {
			t.Run(kind+", and the server "+says, func(t *testing.T) {
				v := newVault(t)
				server, c := connect(v)
				before := v.anyRecord(server)
				v.server.Page("/mcp", tt.page)
				_, err := v.Refused(t.Context(), alice, server, c)
				if wantErr(t, err, tt.want); v.server.Hits() == 0 {
					t.Error("the server was not asked")
				}
				for _, r := range v.server.Requests("/mcp") {
					if h := c.Headers[0]; r.Header.Get(h.Name) != h.Value {
						t.Errorf("asked about %q", r.Header.Get(h.Name))
					}
				}
				if after := v.anyRecord(server); (after.State == storage.NeedsReauth) != tt.ends || !tt.ends && after.Revision != before.Revision {
					t.Errorf("the connection is %s", after.State)
				}
				if _, err := v.Credential(t.Context(), alice, server); (err != nil) != tt.ends {
					t.Errorf("the next call: %v", err)
				}
			})
		}
	}
}

// E24: refused calls make one question of ours in half a minute, however many
// they are.
func TestConfirmingIsNoFlood_E24(t *testing.T) {
	for name, tt := range map[string]struct {
		page http.HandlerFunc
		want error
	}{
		"it works": {oauthtest.StatelessServer, ErrRefused}, "no answer": {oauthtest.Answer(503, "text/plain", ""), ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVault(t)
			v.server.Page("/mcp", tt.page)
			c := bearer(v.connectAs(storage.SharedOwner, "shared", withoutRefresh))
			refuse := func() {
				_, err := v.Refused(t.Context(), alice, "shared", c)
				wantErr(t, err, tt.want)
			}
			refuse()
			once := v.server.Hits()
			var calls sync.WaitGroup
			for range 50 {
				calls.Go(refuse)
			}
			calls.Wait()
			for range 5 {
				v.clock.Advance(retryPause / 10)
				if _, err := v.Credential(t.Context(), alice, "shared"); err != nil {
					t.Error(err)
				}
				refuse()
			}
			if n := v.server.Hits(); n != once {
				t.Errorf("%d requests, want %d", n, once)
			}
			v.clock.Advance(trustPause)
			refuse()
			if n := v.server.Hits(); n != 2*once {
				t.Errorf("after a pause, %d requests, want %d", n, 2*once)
			}
		})
	}
}

// Calls that were refused at the same time ask once, also those whose turn
// comes when the first has its answer.
func TestConfirmOnce(t *testing.T) {
	v := newVault(t)
	v.server.Page("/mcp", oauthtest.StatelessServer)
	c := bearer(v.connectAs(alice, "notion", withoutRefresh))
	for range 3 {
		_, err := v.refresher.refresh(t.Context(), v.servers["notion"], v.key(alice, v.servers["notion"]), c)
		wantErr(t, err, ErrRefused)
	}
	if n := v.server.Hits(); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// A URL that is there to judge keys may refuse one with 403 too.
func TestConfirmByVerifyURL(t *testing.T) {
	for status, ends := range map[int]bool{200: false, 401: true, 403: true, 404: false} {
		v := newVault(t)
		v.servers["keyed"].Auth.VerifyURL = v.server.URL + "/me"
		v.server.Page("/me", oauthtest.Answer(status, "text/plain", ""))
		_, c := refusals["a pasted key"](v)
		_, _ = v.Refused(t.Context(), alice, "keyed", c)
		if state := v.record(alice, "keyed").State; (state == storage.NeedsReauth) != ends {
			t.Errorf("%d: %s", status, state)
		}
	}
}

// anyRecord returns alice's connection to the server, or everybody's.
func (v *vaultInstance) anyRecord(server string) storage.Connection {
	v.t.Helper()
	if v.servers[server].Auth.Mode == config.OAuth {
		return v.record(storage.SharedOwner, server)
	}
	return v.record(alice, server)
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
}

// A server may answer 401 to what it does not know: its word counts only about
// a question that it understands.
func TestUnknownQuestionIsNoRefusal_E24(t *testing.T) {
	unknown := func(status int, known http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(oauthtest.ReadBody(r), `"server/discover"`) {
				w.WriteHeader(status)
				return
			}
			known(w, r)
		}
	}
	needsHeader := func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Mcp-Protocol-Version") != "2025-06-18" {
			oauthtest.Answer(400, "text/plain", "")(w, r)
			return
		}
		oauthtest.SessionServer(w, r)
	}
	for name, tt := range map[string]struct {
		page   http.HandlerFunc
		pasted client.Problem
		want   error
	}{
		"401 to what is unknown":            {unknown(401, oauthtest.SessionServer), "", ErrRefused},
		"403 to what is unknown":            {unknown(403, oauthtest.SessionServer), "", ErrRefused},
		"401 to both":                       {unknown(401, oauthtest.Answer(401, "text/plain", "")), WrongKey, ErrNeedsReauth},
		"403, then 401":                     {unknown(403, oauthtest.Answer(401, "text/plain", "")), WrongKey, ErrNeedsReauth},
		"401, and no sessions":              {unknown(401, oauthtest.Answer(404, "text/plain", "")), WrongKey, ErrNeedsReauth},
		"401, then down":                    {unknown(401, oauthtest.Answer(503, "text/plain", "")), client.ProviderDown, ErrUnavailable},
		"401, then mute":                    {unknown(401, oauthtest.HangUp), client.ProviderDown, ErrUnavailable},
		"mute, then works":                  {unknown(0, oauthtest.SessionServer), "", ErrRefused},
		"401, then wants the older header":  {unknown(401, needsHeader), "", ErrRefused},
		"400, then wants the older header":  {unknown(400, needsHeader), "", ErrRefused},
		"401, and 400 to everything of old": {unknown(401, oauthtest.Answer(400, "text/plain", "")), WrongKey, ErrNeedsReauth},
	} {
		t.Run(name, func(t *testing.T) {
			page := func(w http.ResponseWriter, r *http.Request) {
				defer func() {
					if e := recover(); e != nil { // status 0: no answer at all
						panic(http.ErrAbortHandler)
					}
				}()
				tt.page(w, r)
			}
			for kind, connect := range refusals {
				v := newVault(t)
				server, c := connect(v)
				v.server.Page("/mcp", page)
				_, err := v.Refused(t.Context(), alice, server, c)
				wantErr(t, err, tt.want)
				if state := v.anyRecord(server).State; (state == storage.NeedsReauth) != (tt.want == ErrNeedsReauth) {
					t.Errorf("%s: the connection is %s", kind, state)
				}
			}
			g := newKeyGateway(t)
			g.server.Page("/mcp", page)
			wantProblem(t, g.ConnectHeaders(t.Context(), ConnectRequest{Owner: testOwner, Server: "notion"}, pasted), tt.pasted)
		})
	}
}

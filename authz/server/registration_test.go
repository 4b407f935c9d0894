package server

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

const publicKey = `{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`

func (ts *testServer) manage(method string, reg registration, body string) (status int, again registration) {
	ts.t.Helper()
	w := ts.send(method, reg.path(), body, "Authorization", "Bearer "+reg.Token)
	if w.Code != http.StatusOK {
		return w.Code, registration{}
	}
	return w.Code, ts.registered(w, http.StatusOK)
}

// updateOf is an update of the public client that changes nothing.
func updateOf(reg registration) string { return `{"client_id":"` + reg.ID + `",` + publicClient[1:] }

func TestReadRegistration_G15(t *testing.T) {
	ts := newTestServer(t)
	reg := ts.register(publicClient)
	if !strings.HasPrefix(reg.URI, testIssuer+RegisterPath+"/") {
		t.Fatalf("registration_client_uri %q", reg.URI)
	}
	status, again := ts.manage(http.MethodGet, reg, "")
	if status != http.StatusOK || again.ID != reg.ID || again.Token != reg.Token || again.URI != reg.URI || again.ClientName != "c" || again.IssuedAt != reg.IssuedAt {
		t.Errorf("%d %+v", status, again)
	}
}

func TestRegistrationToken_G12(t *testing.T) {
	ts := newTestServer(t)
	a, b := ts.register(publicClient), ts.register(publicClient)
	if len(a.Token) < len(registrationTokenPrefix)+43 {
		t.Fatalf("token %q", a.Token)
	}
	deleted := ts.register(publicClient)
	if status, _ := ts.manage(http.MethodDelete, deleted, ""); status != http.StatusNoContent {
		t.Fatalf("delete: %d", status)
	}
	unknown := registration{URI: testIssuer + RegisterPath + "/" + uuid.NewString(), Token: a.Token}
	for name, reg := range map[string]registration{
		"another client's token": {URI: b.URI, Token: a.Token},
		"wrong token":            {URI: a.URI, Token: a.Token[:len(a.Token)-1] + "_"},
		"client id as token":     {URI: a.URI, Token: a.ID},
		"deleted client":         deleted,
		"unknown client":         unknown,
		"no client id":           {URI: testIssuer + RegisterPath + "/", Token: a.Token},
		"below a client":         {URI: a.URI + "/x", Token: a.Token},
	} {
		t.Run(name, func(t *testing.T) {
			for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
				w := ts.send(method, reg.path(), updateOf(a), "Authorization", "Bearer "+reg.Token)
				ts.refused(w, http.StatusUnauthorized, "invalid_token")
				if !strings.Contains(w.Header().Get("WWW-Authenticate"), `error="invalid_token"`) {
					t.Errorf("challenge %q", w.Header().Get("WWW-Authenticate"))
				}
			}
		})
	}
	t.Run("no token", func(t *testing.T) {
		w := ts.send(http.MethodGet, a.path(), "")
		ts.refused(w, http.StatusUnauthorized, "invalid_token")
		if w.Header().Get("WWW-Authenticate") != `Bearer realm="client registration"` {
			t.Errorf("challenge %q", w.Header().Get("WWW-Authenticate"))
		}
	})
	if status, _ := ts.manage(http.MethodGet, a, ""); status != http.StatusOK {
		t.Errorf("the rightful holder: %d", status)
	}
}

func TestUpdateRotatesToken_G12(t *testing.T) {
	ts := newTestServer(t)
	reg := ts.register(publicClient)
	status, next := ts.manage(http.MethodPut, reg, updateOf(reg))
	if status != http.StatusOK || next.Token == reg.Token || next.ID != reg.ID {
		t.Fatalf("%d %+v", status, next)
	}
	if status, _ := ts.manage(http.MethodGet, reg, ""); status != http.StatusUnauthorized {
		t.Errorf("the old token: %d", status)
	}
	if status, _ := ts.manage(http.MethodGet, next, ""); status != http.StatusOK {
		t.Errorf("the new token: %d", status)
	}
}

// Of many updates with the same token, one wins.
func TestConcurrentUpdates_G12(t *testing.T) {
	ts := newTestServer(t)
	reg := ts.register(publicClient)
	var wg sync.WaitGroup
	won := make(chan string, 16)
	for range 16 {
		wg.Go(func() {
			w := ts.send(http.MethodPut, reg.path(), updateOf(reg), "Authorization", "Bearer "+reg.Token)
			if w.Code == http.StatusOK {
				won <- w.Body.String()
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Errorf("%d updates won", len(won))
	}
}

func TestUpdateEndsApprovals_G13(t *testing.T) {
	for name, tc := range map[string]struct {
		body string
		ends bool
	}{
		"nothing":       {publicClient, false},
		"a logo":        {`{"logo_uri":"https://c.example/logo",` + publicClient[1:], false},
		"redirect URIs": {strings.Replace(publicClient, "127.0.0.1/cb", "127.0.0.1/cb2", 1), true},
		"one more":      {strings.Replace(publicClient, `"http://127.0.0.1/cb"`, `"http://127.0.0.1/cb","https://evil.example/cb"`, 1), true},
		"the name":      {strings.Replace(publicClient, `"c"`, `"Claude"`, 1), true},
		"keys":          {`{"jwks":{"keys":[` + publicKey + `]},` + publicClient[1:], true},
	} {
		t.Run(name, func(t *testing.T) {
			ts := newTestServer(t)
			reg := ts.register(publicClient)
			v := request("client_id", reg.ID, "redirect_uri", "http://127.0.0.1:5000/cb")
			issued := ts.redeem(reg.ID, ts.approved(v, alice).Get("code"), "redirect_uri", "-")
			code := ts.approved(v, alice).Get("code")
			if !ts.live(issued.Access) {
				t.Fatalf("sign-in: %s", issued.body)
			}
			if status, _ := ts.manage(http.MethodPut, reg, `{"client_id":"`+reg.ID+`",`+tc.body[1:]); status != http.StatusOK {
				t.Fatalf("update: %d", status)
			}
			if ended := !ts.live(issued.Access); ended != tc.ends {
				t.Errorf("the access token ended = %v", ended)
			}
			if got := ts.refresh(reg.ID, issued.Refresh); (got.status != http.StatusOK) != tc.ends {
				t.Errorf("refresh: %d %s", got.status, got.body)
			}
			if got := ts.redeem(reg.ID, code, "redirect_uri", "-"); (got.status != http.StatusOK) != tc.ends {
				t.Errorf("code: %d %s", got.status, got.body)
			}
		})
	}
}

func TestUpdateThatIsNoJSON_C11(t *testing.T) {
	ts := newTestServer(t)
	reg := ts.register(publicClient)
	for _, mediaType := range []string{"", "text/plain", "application/x-www-form-urlencoded"} {
		w := ts.send(http.MethodPut, reg.path(), updateOf(reg), "Authorization", "Bearer "+reg.Token, "Content-Type", mediaType)
		ts.refused(w, http.StatusBadRequest, "invalid_client_metadata")
	}
	if status, _ := ts.manage(http.MethodPut, reg, updateOf(reg)); status != http.StatusOK {
		t.Errorf("the token is used up: %d", status)
	}
}

func TestUpdateRefused(t *testing.T) {
	ts := newTestServer(t)
	reg := ts.register(strings.Replace(publicClient, `"none"`, `"client_secret_post"`, 1))
	body := strings.Replace(updateOf(reg), `"none"`, `"client_secret_post"`, 1)
	for name, tc := range map[string]struct{ body, code string }{
		"no client_id":      {publicClient, "invalid_request"},
		"another client_id": {`{"client_id":"` + uuid.NewString() + `",` + publicClient[1:], "invalid_request"},
		"token":             {`{"registration_access_token":"x",` + body[1:], "invalid_request"},
		"uri":               {`{"registration_client_uri":"x",` + body[1:], "invalid_request"},
		"issue date":        {`{"client_id_issued_at":1,` + body[1:], "invalid_request"},
		"secret's expiry":   {`{"client_secret_expires_at":0,` + body[1:], "invalid_request"},
		"wrong secret":      {`{"client_secret":"x",` + body[1:], "invalid_request"},
		"secret of no text": {`{"client_secret":1,` + body[1:], "invalid_client_metadata"},
		"bad redirect URI":  {`{"client_id":"` + reg.ID + `","redirect_uris":["http://evil.example/"]}`, "invalid_redirect_uri"},
		"not JSON":          {`x`, "invalid_client_metadata"},
	} {
		t.Run(name, func(t *testing.T) {
			w := ts.send(http.MethodPut, reg.path(), tc.body, "Authorization", "Bearer "+reg.Token)
			ts.refused(w, http.StatusBadRequest, tc.code)
			if status, again := ts.manage(http.MethodGet, reg, ""); status != http.StatusOK || again.RedirectURIs[0] != "http://127.0.0.1/cb" {
				t.Errorf("afterwards %d %+v", status, again)
			}
		})
	}
	if status, again := ts.manage(http.MethodPut, reg, `{"client_secret":"`+reg.Secret+`",`+body[1:]); status != http.StatusOK || again.Secret != "" {
		t.Errorf("with the right secret: %d, secret %q", status, again.Secret)
	}
}

func TestUpdateAuthMethod(t *testing.T) {
	ts := newTestServer(t)
	reg := ts.register(publicClient)
	step := func(method string) registration {
		t.Helper()
		status, next := ts.manage(http.MethodPut, reg, strings.Replace(updateOf(reg), `"none"`, `"`+method+`"`, 1))
		if status != http.StatusOK {
			t.Fatalf("to %s: %d", method, status)
		}
		reg = next
		return next
	}
	first := step(oauth.AuthSecretBasic)
	if first.Secret == "" {
		t.Error("became confidential without a secret")
	}
	if kept := step(oauth.AuthSecretPost); kept.Secret != "" {
		t.Error("got another secret")
	}
	step(oauth.AuthNone)
	if c, err := ts.lookup(reg.ID); err != nil || c.SecretHash != nil {
		t.Errorf("the secret stays: %+v, %v", c, err)
	}
	if second := step(oauth.AuthSecretPost); second.Secret == "" || second.Secret == first.Secret {
		t.Error("an old secret is good again")
	}
}

func TestRegistrationStoreFails_E16(t *testing.T) {
	ts := newTestServer(t)
	reg := ts.register(publicClient)
	ts.store.failing("*", func() {
		ts.refused(ts.send(http.MethodPost, RegisterPath, publicClient), http.StatusServiceUnavailable, "temporarily_unavailable")
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
			w := ts.send(method, reg.path(), updateOf(reg), "Authorization", "Bearer "+reg.Token)
			ts.refused(w, http.StatusServiceUnavailable, "temporarily_unavailable")
		}
	})
	for verb, method := range map[string]string{"UpdateClient": http.MethodPut, "DeleteClient": http.MethodDelete} {
		ts.store.failing(verb, func() {
			w := ts.send(method, reg.path(), updateOf(reg), "Authorization", "Bearer "+reg.Token)
			ts.refused(w, http.StatusServiceUnavailable, "temporarily_unavailable")
		})
	}
	if status, _ := ts.manage(http.MethodGet, reg, ""); status != http.StatusOK {
		t.Errorf("afterwards: %d", status)
	}
}

func TestOneWritePerRegistration(t *testing.T) {
	ts := newTestServer(t)
	before := ts.store.writes.Load()
	ts.register(publicClient)
	if n := ts.store.writes.Load() - before; n != 1 {
		t.Errorf("%d writes", n)
	}
}

// Who holds a registration may change it only so often, which leaves others, and
// reading it, alone.
func TestUpdateRate_G13(t *testing.T) {
	ts := newTestServer(t, func(c *siteConfig) { c.Registration.RateLimit = new(3) })
	reg := ts.register(publicClient)
	other := ts.register(publicClient)
	ts.stopLimits()
	for i := range 3 {
		status, again := ts.manage(http.MethodPut, reg, updateOf(reg))
		if status != http.StatusOK {
			t.Fatalf("update %d: %d", i, status)
		}
		reg = again
	}
	w := ts.send(http.MethodPut, reg.path(), updateOf(reg), "Authorization", "Bearer "+reg.Token)
	ts.refused(w, http.StatusTooManyRequests, "temporarily_unavailable")
	if got := w.Header().Get("Retry-After"); got == "" {
		t.Errorf("Retry-After is %q, want a time to try again", got)
	}
	if status, again := ts.manage(http.MethodGet, reg, ""); status != http.StatusOK || again.Token != reg.Token {
		t.Errorf("reading it: %d", status)
	}
	if status, _ := ts.manage(http.MethodPut, other, updateOf(other)); status != http.StatusOK {
		t.Errorf("another client's update: %d", status)
	}
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/uuid"
	"github.com/zitadel/oidc/v3/example/server/storage"
)

// account is a person, as tests post one.
type account struct {
	Email         string   `json:"email"`
	EmailVerified bool     `json:"email_verified"`
	Name          string   `json:"name"`
	Groups        []string `json:"groups"`

	disabled bool
}

// client is the one relying party, with the names of RFC 7591.
type client struct {
	ID                     string   `json:"client_id"`
	Secret                 string   `json:"client_secret"`
	RedirectURIs           []string `json:"redirect_uris"`
	PostLogoutRedirectURIs []string `json:"post_logout_redirect_uris"`
	BackchannelLogoutURI   string   `json:"backchannel_logout_uri"`
}

// control is what tests steer, and the users of the provider.
type control struct {
	issuer  string
	storage *groupStorage

	mu       sync.Mutex
	accounts map[string]*account
	client   client
	counts   map[string]int
	out      string // what is out of order: all, tokens or nothing
}

func newControl(issuer string) *control {
	return &control{issuer: issuer, accounts: map[string]*account{}, counts: map[string]int{}}
}

// GetUserByID returns a person who has not left, whose ID is the name.
func (c *control) GetUserByID(name string) *storage.User {
	c.mu.Lock()
	defer c.mu.Unlock()
	a, ok := c.accounts[name]
	if !ok || a.disabled {
		return nil
	}
	return &storage.User{
		ID: name, Username: name, Password: password, FirstName: a.Name, Email: a.Email, EmailVerified: a.EmailVerified,
	}
}

// GetUserByUsername is GetUserByID.
func (c *control) GetUserByUsername(name string) *storage.User { return c.GetUserByID(name) }

// ExampleClientID names a service user, which no test has.
func (c *control) ExampleClientID() string { return "service" }

func (c *control) groups(name string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.accounts[name].Groups)
}

func (c *control) postLogout() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.client.PostLogoutRedirectURIs
}

func (c *control) count(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[what]++
}

// unlessOut answers 503 during an outage, of all or of the token endpoint.
func (c *control) unlessOut(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		out := c.out
		c.mu.Unlock()
		if out == "all" || out == "tokens" && r.URL.Path == "/oauth/token" {
			http.Error(w, "out of order", http.StatusServiceUnavailable)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// ServeHTTP does what a test asks for, and answers with JSON.
func (c *control) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, err := c.steer(strings.Split(strings.TrimPrefix(r.URL.Path, "/test/"), "/"), r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

func (c *control) steer(path []string, r *http.Request) (any, error) {
	if len(path) == 3 && path[2] == "end-sessions" {
		return c.endSessions(r.Context(), path[1])
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	none := struct{}{}
	switch {
	case path[0] == "counts":
		return c.counts, nil
	case path[0] == "outage" && len(path) == 2:
		c.out = path[1]
		return none, nil
	case path[0] == "outage":
		c.out = "all"
		return none, nil
	case path[0] == "recover":
		c.out = ""
		return none, nil
	case path[0] == "client":
		if err := json.NewDecoder(r.Body).Decode(&c.client); err != nil {
			return nil, err
		}
		storage.RegisterClients(storage.WebClient(c.client.ID, c.client.Secret, c.client.RedirectURIs...))
		return none, nil
	case path[0] == "accounts" && len(path) == 2:
		a := &account{}
		c.accounts[path[1]] = a
		return none, json.NewDecoder(r.Body).Decode(a)
	case path[0] == "accounts" && len(path) == 3 && c.accounts[path[1]] != nil:
		c.accounts[path[1]].disabled = path[2] == "disable"
		return none, nil
	}
	return nil, fmt.Errorf("nothing to steer at %s", r.URL.Path)
}

// endSessions ends what a person has at the client, tells it so, and returns
// what it answered.
func (c *control) endSessions(ctx context.Context, name string) (told []string, err error) {
	c.mu.Lock()
	cl := c.client
	c.mu.Unlock()
	if err := c.storage.TerminateSession(ctx, name, cl.ID); err != nil {
		return nil, err
	}
	if cl.BackchannelLogoutURI == "" {
		return nil, nil
	}
	token, err := c.logoutToken(ctx, cl.ID, name)
	if err != nil {
		return nil, err
	}
	resp, err := http.PostForm(cl.BackchannelLogoutURI, url.Values{"logout_token": {token}})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return []string{resp.Status}, nil
	}
	return []string{"ok"}, nil
}

// logoutToken tells that a person has logged out, in every browser.
func (c *control) logoutToken(ctx context.Context, clientID, name string) (string, error) {
	key, err := c.storage.SigningKey(ctx)
	if err != nil {
		return "", err
	}
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: key.SignatureAlgorithm(), Key: jose.JSONWebKey{Key: key.Key(), KeyID: key.ID()}},
		(&jose.SignerOptions{}).WithType("logout+jwt"))
	if err != nil {
		return "", err
	}
	return jwt.Signed(signer).Claims(map[string]any{
		"iss": c.issuer, "aud": clientID, "sub": name, "jti": uuid.NewString(),
		"iat": time.Now().Unix(), "exp": time.Now().Add(2 * time.Minute).Unix(),
		"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": struct{}{}},
	}).Serialize()
}

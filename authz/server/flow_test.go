package server

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/flows"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/grants"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/sessions"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

func TestFlowCookie_I02_I12_I13(t *testing.T) {
	ts := newTestServer(t)
	c := ts.begin(request()).cookie
	if !strings.HasPrefix(c.Name, "__Host-mcp_flow_") || len(c.Name) != len("__Host-mcp_flow_")+8 {
		t.Errorf("name = %q", c.Name)
	}
	if !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.MaxAge != 900 {
		t.Errorf("cookie = %v", c)
	}
	if b, err := base64.RawURLEncoding.DecodeString(c.Value); err != nil || len(b) != 32 {
		t.Errorf("value = %q", c.Value)
	}
	ts = newTestServer(t, func(cfg *siteConfig) { cfg.Issuer = "http://localhost:8080"; cfg.Servers[0].Resource = notionResource })
	if c := ts.begin(request("resource", "-")).cookie; c.Secure || !strings.HasPrefix(c.Name, "mcp_flow_") {
		t.Errorf("cookie without https = %v", c)
	}
}

func TestFlowBinding_I02_I12(t *testing.T) {
	ts := newTestServer(t)
	mine, other := ts.begin(request()), ts.begin(request())
	tests := map[string]func(r *http.Request){
		"no cookie":              func(*http.Request) {},
		"cookie of another flow": func(r *http.Request) { r.AddCookie(other.cookie) },
		"secret of another flow": func(r *http.Request) { r.AddCookie(&http.Cookie{Name: mine.cookie.Name, Value: other.cookie.Value}) },
		"empty":                  func(r *http.Request) { r.AddCookie(&http.Cookie{Name: mine.cookie.Name}) },
		"two of the name":        func(r *http.Request) { r.AddCookie(mine.cookie); r.AddCookie(mine.cookie) },
		"planted beside the right": func(r *http.Request) {
			r.AddCookie(&http.Cookie{Name: mine.cookie.Name, Value: "x"})
			r.AddCookie(mine.cookie)
		},
		"right, but not its prefix": func(r *http.Request) {
			r.AddCookie(&http.Cookie{Name: strings.TrimPrefix(mine.cookie.Name, "__Host-"), Value: mine.cookie.Value})
		},
	}
	for name, cookies := range tests {
		t.Run(name, func(t *testing.T) {
			r := mine.get()
			r.Header.Del("Cookie")
			cookies(r)
			if _, err := ts.as.Flows.Open(r, mine.flowID); !errors.Is(err, flows.ErrOtherBrowser) {
				t.Errorf("OpenFlow = %v", err)
			}
		})
	}
	if _, err := ts.as.Flows.Open(mine.get(), mine.flowID); err != nil {
		t.Errorf("the right browser: %v", err)
	}
}

func TestFlowID(t *testing.T) {
	ts := newTestServer(t)
	b := ts.begin(request())
	flipped := []byte(b.flowID)
	flipped[len(flipped)/2] ^= 1
	for name, id := range map[string]string{"empty": "", "text": "flow", "not base64": "%%%", "cut": b.flowID[:len(b.flowID)-4], "flipped": string(flipped)} {
		t.Run(name, func(t *testing.T) {
			if _, err := ts.as.Flows.Open(b.get(), id); !errors.Is(err, flows.ErrInvalid) {
				t.Errorf("OpenFlow = %v", err)
			}
		})
	}
	ts.reload(func(c *siteConfig) { c.Issuer = "https://other.example" })
	if _, err := ts.as.Flows.Open(b.get(), b.flowID); !errors.Is(err, flows.ErrInvalid) {
		t.Errorf("F11: another issuer with the same keys: %v", err)
	}
}

func TestFlowHoldsTheRequest(t *testing.T) {
	ts := newTestServer(t)
	f := ts.open(ts.begin(request("scope", "mcp:use unknown offline_access notion:admin", "resource", "HTTPS://MCP.Example.com:443/mcp/notion/")))
	if f.Client.ID != "app" || f.RedirectURI != testRedirect || f.State != "xyz" || f.Challenge != oauth.CodeChallenge(testVerifier) || f.Identity != nil {
		t.Errorf("flow = %+v", f)
	}
	if !slices.Equal(f.Scope, []string{"mcp:use", "notion:admin"}) || !slices.Equal(f.Resources, []string{notionResource}) {
		t.Errorf("scope %q, resources %q", f.Scope, f.Resources)
	}
	if want := testStart.Add(15 * time.Minute); !f.ExpiresAt.Equal(want) {
		t.Errorf("expires %v, want %v", f.ExpiresAt, want)
	}
}

func TestFlowExpires(t *testing.T) {
	ts := newTestServer(t)
	b := ts.begin(request())
	f := ts.identified(request(), alice)
	ts.clock.Advance(15*time.Minute - time.Second)
	ts.open(b)
	ts.clock.Advance(time.Second)
	if _, err := ts.as.Flows.Open(b.get(), b.flowID); !errors.Is(err, flows.ErrExpired) {
		t.Errorf("OpenFlow = %v", err)
	}
	if _, err := ts.as.Flows.Approve(t.Context(), f, flows.Approval{Resources: []string{notionResource}}); !errors.Is(err, flows.ErrExpired) {
		t.Errorf("Approve = %v", err)
	}
}

func TestFlowForm_I04_I05(t *testing.T) {
	ts := newTestServer(t)
	b, other := ts.begin(request()), ts.begin(request())
	token := ts.open(b).CSRFToken
	if again := ts.open(b).CSRFToken; again != token {
		t.Error("I05: loading the page twice changes its token")
	}
	open := func(csrf string) error {
		form := url.Values{"csrf_token": {csrf}}
		if csrf == "" {
			form = url.Values{}
		}
		r := b.post(form)
		if err := r.ParseForm(); err != nil {
			t.Fatal(err)
		}
		_, err := ts.as.Flows.Open(r, b.flowID)
		return err
	}
	for name, csrf := range map[string]string{"none": "", "of another flow": ts.open(other).CSRFToken, "cut": token[1:], "the cookie": b.cookie.Value} {
		t.Run(name, func(t *testing.T) {
			if err := open(csrf); !errors.Is(err, sessions.ErrForged) {
				t.Errorf("OpenFlow = %v", err)
			}
		})
	}
	t.Run("in the query only", func(t *testing.T) {
		r := b.post(url.Values{})
		r.URL.RawQuery = "csrf_token=" + token
		if err := r.ParseForm(); err != nil {
			t.Fatal(err)
		}
		if _, err := ts.as.Flows.Open(r, b.flowID); !errors.Is(err, sessions.ErrForged) {
			t.Errorf("OpenFlow = %v", err)
		}
	})
	if err := open(token); err != nil {
		t.Errorf("the right token: %v", err)
	}
}

// What a person reads must be what the request was checked against.
func TestClientChangesMidFlow(t *testing.T) {
	changes := map[string]func(*siteConfig){
		"renamed": func(c *siteConfig) {
			c.Clients = slices.Clone(c.Clients)
			c.Clients[0].Metadata.ClientName = "Somebody Else"
		},
		"redirect": func(c *siteConfig) {
			c.Clients = slices.Clone(c.Clients)
			c.Clients[0].Metadata.RedirectURIs = []string{testRedirect}
		},
		"gone": func(c *siteConfig) { c.Clients = c.Clients[1:] },
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			ts := newTestServer(t)
			b := ts.begin(request())
			ts.reload(change)
			if _, err := ts.as.Flows.Open(b.get(), b.flowID); !errors.Is(err, flows.ErrInvalid) {
				t.Errorf("OpenFlow = %v", err)
			}
		})
	}
}

func TestServersOffered(t *testing.T) {
	tests := []struct {
		name, resource, scope string
		who                   *storage.Identity
		want                  []string
	}{
		{"named", notionResource, "mcp:use", nil, []string{notionResource}},
		{"none named", "-", "-", nil, []string{notionResource, mainResource}},
		{"none named, key for one", "-", "-", new(keyIdentity("ci")), []string{notionResource}},
		{"named, key for another", mainResource, "-", new(keyIdentity("ci")), nil},
		{"key for all", "-", "-", new(keyIdentity("team")), []string{notionResource, mainResource}},
		{"scope of one", "-", "notion:admin", nil, []string{notionResource}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ts := newTestServer(t)
			f := ts.open(ts.begin(request("resource", tt.resource, "scope", tt.scope)))
			f.Identity = tt.who
			if got := grants.ResourcesOf(ts.as.Flows.Servers(f)); !slices.Equal(got, tt.want) {
				t.Errorf("servers = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestIdentifyRefusesUnknownIdentity(t *testing.T) {
	ts := newTestServer(t)
	f := ts.open(ts.begin(request()))
	for _, id := range []storage.Identity{{Kind: "caddy", Subject: "caddy:root"}, {}, keyIdentity("withdrawn")} {
		if err := ts.as.Flows.Identify(t.Context(), f, id); !errors.Is(err, flows.ErrInvalid) {
			t.Errorf("Identify(%+v) = %v", id, err)
		}
	}
	if n := ts.store.writes.Load(); n != 0 {
		t.Errorf("%d writes", n)
	}
}

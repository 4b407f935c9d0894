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
	l := newLab(t)
	c := l.begin(request()).cookie
	if !strings.HasPrefix(c.Name, "__Host-mcp_flow_") || len(c.Name) != len("__Host-mcp_flow_")+8 {
		t.Errorf("name = %q", c.Name)
	}
	if !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.MaxAge != 900 {
		t.Errorf("cookie = %v", c)
	}
	if b, err := base64.RawURLEncoding.DecodeString(c.Value); err != nil || len(b) != 32 {
		t.Errorf("value = %q", c.Value)
	}
	l = newLab(t, func(cfg *labSite) { cfg.Issuer = "http://localhost:8080"; cfg.Servers[0].Resource = labNotion })
	if c := l.begin(request("resource", "-")).cookie; c.Secure || !strings.HasPrefix(c.Name, "mcp_flow_") {
		t.Errorf("cookie without https = %v", c)
	}
}

func TestFlowBinding_I02_I12(t *testing.T) {
	l := newLab(t)
	mine, other := l.begin(request()), l.begin(request())
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
			if _, err := l.as.Flows.Open(r, mine.flowID); !errors.Is(err, flows.ErrOtherBrowser) {
				t.Errorf("OpenFlow = %v", err)
			}
		})
	}
	if _, err := l.as.Flows.Open(mine.get(), mine.flowID); err != nil {
		t.Errorf("the right browser: %v", err)
	}
}

func TestFlowID(t *testing.T) {
	l := newLab(t)
	b := l.begin(request())
	flipped := []byte(b.flowID)
	flipped[len(flipped)/2] ^= 1
	for name, id := range map[string]string{"empty": "", "text": "flow", "not base64": "%%%", "cut": b.flowID[:len(b.flowID)-4], "flipped": string(flipped)} {
		t.Run(name, func(t *testing.T) {
			if _, err := l.as.Flows.Open(b.get(), id); !errors.Is(err, flows.ErrInvalid) {
				t.Errorf("OpenFlow = %v", err)
			}
		})
	}
	l.reload(func(c *labSite) { c.Issuer = "https://other.example" })
	if _, err := l.as.Flows.Open(b.get(), b.flowID); !errors.Is(err, flows.ErrInvalid) {
		t.Errorf("F11: another issuer with the same keys: %v", err)
	}
}

func TestFlowHoldsTheRequest(t *testing.T) {
	l := newLab(t)
	f := l.open(l.begin(request("scope", "mcp:use unknown offline_access notion:admin", "resource", "HTTPS://MCP.Example.com:443/mcp/notion/")))
	if f.Client.ID != "app" || f.RedirectURI != labRedirect || f.State != "xyz" || f.Challenge != oauth.CodeChallenge(labVerifier) || f.Identity != nil {
		t.Errorf("flow = %+v", f)
	}
	if !slices.Equal(f.Scope, []string{"mcp:use", "notion:admin"}) || !slices.Equal(f.Resources, []string{labNotion}) {
		t.Errorf("scope %q, resources %q", f.Scope, f.Resources)
	}
	if want := labStart.Add(15 * time.Minute); !f.ExpiresAt.Equal(want) {
		t.Errorf("expires %v, want %v", f.ExpiresAt, want)
	}
}

func TestFlowExpires(t *testing.T) {
	l := newLab(t)
	b := l.begin(request())
	f := l.identified(request(), alice)
	l.advance(15*time.Minute - time.Second)
	l.open(b)
	l.advance(time.Second)
	if _, err := l.as.Flows.Open(b.get(), b.flowID); !errors.Is(err, flows.ErrExpired) {
		t.Errorf("OpenFlow = %v", err)
	}
	if _, err := l.as.Flows.Approve(t.Context(), f, flows.Approval{Resources: []string{labNotion}}); !errors.Is(err, flows.ErrExpired) {
		t.Errorf("Approve = %v", err)
	}
}

func TestFlowForm_I04_I05(t *testing.T) {
	l := newLab(t)
	b, other := l.begin(request()), l.begin(request())
	token := l.open(b).CSRFToken
	if again := l.open(b).CSRFToken; again != token {
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
		_, err := l.as.Flows.Open(r, b.flowID)
		return err
	}
	for name, csrf := range map[string]string{"none": "", "of another flow": l.open(other).CSRFToken, "cut": token[1:], "the cookie": b.cookie.Value} {
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
		if _, err := l.as.Flows.Open(r, b.flowID); !errors.Is(err, sessions.ErrForged) {
			t.Errorf("OpenFlow = %v", err)
		}
	})
	if err := open(token); err != nil {
		t.Errorf("the right token: %v", err)
	}
}

// What a person reads must be what the request was checked against.
func TestClientChangesMidFlow(t *testing.T) {
	changes := map[string]func(*labSite){
		"renamed": func(c *labSite) {
			c.Clients = slices.Clone(c.Clients)
			c.Clients[0].Metadata.ClientName = "Somebody Else"
		},
		"redirect": func(c *labSite) {
			c.Clients = slices.Clone(c.Clients)
			c.Clients[0].Metadata.RedirectURIs = []string{labRedirect}
		},
		"gone": func(c *labSite) { c.Clients = c.Clients[1:] },
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			b := l.begin(request())
			l.reload(change)
			if _, err := l.as.Flows.Open(b.get(), b.flowID); !errors.Is(err, flows.ErrInvalid) {
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
		{"named", labNotion, "mcp:use", nil, []string{labNotion}},
		{"none named", "-", "-", nil, []string{labNotion, labMain}},
		{"none named, key for one", "-", "-", new(keyIdentity("ci")), []string{labNotion}},
		{"named, key for another", labMain, "-", new(keyIdentity("ci")), nil},
		{"key for all", "-", "-", new(keyIdentity("team")), []string{labNotion, labMain}},
		{"scope of one", "-", "notion:admin", nil, []string{labNotion}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t)
			f := l.open(l.begin(request("resource", tt.resource, "scope", tt.scope)))
			f.Identity = tt.who
			if got := grants.ResourcesOf(l.as.Flows.Servers(f)); !slices.Equal(got, tt.want) {
				t.Errorf("servers = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestIdentifyRefusesUnknownIdentity(t *testing.T) {
	l := newLab(t)
	f := l.open(l.begin(request()))
	for _, id := range []storage.Identity{{Kind: "caddy", Subject: "caddy:root"}, {}, keyIdentity("withdrawn")} {
		if err := l.as.Flows.Identify(t.Context(), f, id); !errors.Is(err, flows.ErrInvalid) {
			t.Errorf("Identify(%+v) = %v", id, err)
		}
	}
	if n := l.store.writes.Load(); n != 0 {
		t.Errorf("%d writes", n)
	}
}

package consent

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

const (
	atNotion = "https://mcp.example.com/mcp/notion"
	atGithub = "https://mcp.example.com/mcp/github"
)

// withScopes is a site whose servers have scopes of their own, and one that both
// know and one of them needs.
func withScopes(t *testing.T, parameters url.Values) *site {
	t.Helper()
	s := newSite(t, func(c *config.Site) {
		c.Scopes = []config.Scope{{Name: "pages:write", Description: "Change pages"}}
		c.Servers[0].OptionalScopes = []string{"pages:write", "pages:admin", "export"}
		c.Servers[1].Scopes = []string{"mcp:use", "export"}
		c.Servers[1].OptionalScopes = []string{"repo"}
	})
	s.asks(registered("Cursor", "https://app.example/cb", "authorization_code", "refresh_token"), parameters)
	return s.identified(alice())
}

// grantedScope returns what the one grant has.
func (s *site) grantedScope() []string {
	s.t.Helper()
	grants, _, err := s.store.Grants(s.t.Context(), "", 100, s.clock.Now())
	if err != nil || len(grants) != 1 {
		s.t.Fatalf("grants %+v, %v", grants, err)
	}
	return grants[0].Scope
}

// What is ticked is what is granted, with what the chosen servers need.
func TestScopeChoice_I19(t *testing.T) {
	all := "mcp:use pages:write pages:admin export repo"
	for name, tt := range map[string]struct {
		requested string
		resources []string // that the person ticks
		ticked    []string
		want      []string // nil: nothing is granted
		status    int
		location  string // its start, without a grant
	}{
		"all":                          {all, []string{atNotion, atGithub}, []string{"pages:write", "pages:admin", "export", "repo"}, strings.Fields(all), 303, ""},
		"none of a server's":           {all, []string{atNotion}, nil, []string{"mcp:use"}, 303, ""},
		"one of a server's":            {all, []string{atNotion}, []string{"pages:admin"}, []string{"mcp:use", "pages:admin"}, 303, ""},
		"what another server needs":    {all, []string{atNotion, atGithub}, nil, []string{"mcp:use", "export"}, 303, ""},
		"what both know, at one":       {all, []string{atNotion}, []string{"export"}, []string{"mcp:use", "export"}, 303, ""},
		"of a server that is left out": {all, []string{atNotion}, []string{"repo", "pages:write"}, []string{"mcp:use", "pages:write"}, 303, ""},
		"ticked twice":                 {all, []string{atNotion}, []string{"pages:write", "pages:write"}, []string{"mcp:use", "pages:write"}, 303, ""},
		"nothing asked for":            {"", []string{atNotion}, nil, []string{"mcp:use"}, 303, ""},
		"only optional, one ticked":    {"pages:write pages:admin", []string{atNotion}, []string{"pages:admin"}, []string{"pages:admin"}, 303, ""},
		"only optional, none ticked":   {"pages:write pages:admin", []string{atNotion}, nil, nil, 303, "/oauth/consent/mcps?chosen=notion&error=no_scope&flow_id=sealed&without=pages%3Awrite+pages%3Aadmin"},
		"not asked for":                {"mcp:use pages:write", []string{atNotion}, []string{"pages:admin"}, nil, 400, ""},
		"not of any server":            {all, []string{atNotion}, []string{"root"}, nil, 400, ""},
		"what is needed has no box":    {all, []string{atNotion}, []string{"mcp:use"}, nil, 400, ""},
		"a list in one value":          {all, []string{atNotion}, []string{"pages:write pages:admin"}, nil, 400, ""},
		"an empty value":               {all, []string{atNotion}, []string{""}, nil, 400, ""},
		"scopes and no server":         {all, nil, []string{"repo"}, nil, 303, "/oauth/consent/mcps?error=no_server&flow_id=sealed&without=pages%3Awrite+pages%3Aadmin+export"},
	} {
		t.Run(name, func(t *testing.T) {
			s := withScopes(t, url.Values{"scope": {tt.requested}})
			w := s.submit(tt.resources, tt.ticked)
			if w.Code != tt.status {
				t.Fatalf("status %d, want %d\n%s", w.Code, tt.status, shows(w))
			}
			if tt.want == nil {
				if got := w.Header().Get("Location"); got != tt.location || s.decided() {
					t.Errorf("Location = %q, want %q; decided %v", got, tt.location, s.decided())
				}
				return
			}
			if got := s.grantedScope(); !slices.Equal(got, tt.want) {
				t.Errorf("granted %q, want %q", got, tt.want)
			}
		})
	}
}

// submit sends the form with what is ticked on it.
func (s *site) submit(resources, scopes []string) *httptest.ResponseRecorder {
	return s.submits(url.Values{"resource": resources, "scope": scopes})
}

// submits sends the form with what it says besides who approves.
func (s *site) submits(more url.Values) *httptest.ResponseRecorder {
	form := url.Values{"flow_id": {"sealed"}, "csrf_token": {"csrf-1"}, "decision": {"approve"}, "identity": {identity.FormValue(alice())}}
	maps.Copy(form, more)
	r := httptest.NewRequest(http.MethodPost, submitPath, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.AddCookie(&http.Cookie{Name: "flow", Value: "browser-1"})
	return s.do(r)
}

// All that is asked for is ticked, as after a step-up, until the person leaves
// something out; then that stays so. What is needed has no box.
func TestScopeBoxes_I19(t *testing.T) {
	s := withScopes(t, url.Values{"scope": {"mcp:use pages:write pages:admin export"}})
	ticked := func(query string) map[string]bool {
		boxes := map[string]bool{}
		for line := range strings.Lines(s.get(servicesURL + query).Body.String()) {
			_, rest, found := strings.Cut(line, `name="scope" value="`)
			if name, after, _ := strings.Cut(rest, `"`); found {
				boxes[name] = strings.HasPrefix(after, " checked")
			}
		}
		return boxes
	}
	for query, want := range map[string]map[string]bool{
		"":                                {"pages:write": true, "pages:admin": true, "export": true},
		"&without=pages%3Aadmin+export":   {"pages:write": true, "pages:admin": false, "export": false},
		"&without=mcp%3Ause+%3Cscript%3E": {"pages:write": true, "pages:admin": true, "export": true},
	} {
		if got := ticked(query); !equal(got, want) {
			t.Errorf("%s: boxes %v, want %v", query, got, want)
		}
	}
	page := s.get(servicesURL).Body.String()
	for _, want := range []string{
		`Change pages <code>pages:write</code>`, `>pages:admin</label>`, "Notion and github; github needs it always",
		`mcp:use</code> <span class="need">always needed`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q on:\n%s", want, page)
		}
	}
}

func equal[K, V comparable](a, b map[K]V) bool {
	for k, v := range a {
		if w, ok := b[k]; !ok || w != v {
			return false
		}
	}
	return len(a) == len(b)
}

// A step-up asks for what was granted and what is missing: the token has it.
func TestScopeAfterStepUp(t *testing.T) {
	s := withScopes(t, url.Values{"scope": {"mcp:use pages:write"}, "resource": {atNotion}})
	s.submit([]string{atNotion}, nil)
	if got := s.grantedScope(); !slices.Equal(got, []string{"mcp:use"}) {
		t.Fatalf("granted %q", got)
	}
	s = withScopes(t, url.Values{"scope": {"mcp:use pages:write"}, "resource": {atNotion}})
	page := s.get(servicesURL).Body.String()
	if !strings.Contains(page, `value="pages:write" checked`) {
		t.Errorf("what the call needs is not ticked:\n%s", page)
	}
	s.submit([]string{atNotion}, []string{"pages:write"})
	if got := s.grantedScope(); !slices.Equal(got, []string{"mcp:use", "pages:write"}) {
		t.Errorf("granted %q", got)
	}
}

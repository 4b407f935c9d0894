package instances

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
)

const canary = "canary-2Vd8GgPq0yWm4TzR"

// someSite is a resolved configuration, changed before.
func someSite(t *testing.T, change func(*config.Site)) *config.Site {
	t.Helper()
	site := &config.Site{
		PublicURL: "https://mcp.example.com", Branding: &config.Branding{Name: "Example"},
		Identities:   []config.Identity{{Kind: "virtual_key"}},
		VirtualKeys:  []config.VirtualKey{{Name: "alice", Key: "{env.ALICE}"}, {Name: "bob", Key: "{file./keys/bob}"}},
		Clients:      []config.Client{{ID: "app", Secret: "{env.APP}", RedirectURIs: []string{"https://app.example.com/cb"}}},
		Servers:      []*config.Server{{ID: "wiki", Path: "/mcp", Upstream: "http://127.0.0.1:3001/mcp"}, {ID: "mail", Path: "/mail", Upstream: "http://127.0.0.1:3002/mcp", Auth: &config.Auth{Mode: "per_user_oauth"}}},
		Registration: &config.Registration{InitialAccessToken: "{env.INITIAL}"},
	}
	if change != nil {
		change(site)
	}
	resolved, err := site.Resolve(func(text string) (string, bool, error) {
		if strings.Contains(text, "{") {
			return canary + text, true, nil
		}
		return text, true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return resolved
}

// What must be equal is compared, secrets included; what may differ is not.
func TestConfigurationsAreCompared(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*config.Site)
		want   []string
	}{
		"nothing":             {func(*config.Site) {}, nil},
		"an allow rule":       {func(s *config.Site) { s.Servers[1].Allow = []string{"group:staff"}; s.VirtualKeys = nil }, []string{"server mail", "virtual_keys"}},
		"a server":            {func(s *config.Site) { s.Servers = s.Servers[:1] }, []string{"server mail"}},
		"a path":              {func(s *config.Site) { s.Servers[0].Path = "/wiki" }, []string{"server wiki"}},
		"where accounts are":  {func(s *config.Site) { s.Servers[1].Upstream = "http://127.0.0.1:3003/mcp" }, []string{"server mail"}},
		"a way to sign in":    {func(s *config.Site) { s.Identities = append(s.Identities, config.Identity{Kind: "anonymous"}) }, []string{"identities"}},
		"a key":               {func(s *config.Site) { s.VirtualKeys[0].Key = "{env.OTHER}" }, []string{"virtual_keys"}},
		"a secret":            {func(s *config.Site) { s.Clients[0].Secret = "{env.OTHER}" }, []string{"clients"}},
		"the initial token":   {func(s *config.Site) { s.Registration.InitialAccessToken = "{env.OTHER}" }, []string{"registration"}},
		"a lifetime":          {func(s *config.Site) { s.AccessTokenLifetime = config.Duration(time.Minute) }, []string{"access_token_lifetime"}},
		"the name":            {func(s *config.Site) { s.Branding.Name = "Other" }, []string{"branding"}},
		"the logo's file":     {func(s *config.Site) { s.Branding.Logo = "/elsewhere/logo.png" }, nil},
		"a key's file":        {func(s *config.Site) { s.VirtualKeys[1].Key = "{file./elsewhere/bob}" }, nil},
		"where the server is": {func(s *config.Site) { s.Servers[0].Upstream = "http://10.0.0.1/mcp" }, nil},
		"how it is reached":   {func(s *config.Site) { s.Servers[0].ReverseProxy = []byte(`{"x":1}`) }, nil},
		"the order of keys":   {func(s *config.Site) { slices.Reverse(s.VirtualKeys) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSharedStore(t)
			a, b := newProcess(s), newProcess(s)
			if err := a.load(ringOf(t, 1), someSite(t, nil)); err != nil {
				t.Fatal(err)
			}
			if err := b.load(ringOf(t, 1), someSite(t, tc.change)); err != nil {
				t.Fatal(err)
			}
			if err := a.Turn(t.Context(), a.serves); err != nil {
				t.Fatal(err)
			}
			got := a.Overview().Different
			switch {
			case tc.want == nil && len(got) > 0:
				t.Errorf("they differ: %+v", got)
			case tc.want != nil && (len(got) != 1 || got[0].Kind != ofConfiguration || !slices.Equal(got[0].Parts, tc.want) || got[0].Site != "https://mcp.example.com"):
				t.Errorf("got %+v, want the parts %q", got, tc.want)
			}
			for _, i := range s.all {
				if strings.Contains(string(i.About), canary) {
					t.Errorf("a secret is told: %s", i.About)
				}
			}
		})
	}
}

// A difference is told once when it has lasted for a minute, and once when it is over.
func TestDifferencesAreToldOnce(t *testing.T) {
	s := newSharedStore(t)
	a, b := newProcess(s), newProcess(s)
	changed := func(site *config.Site) { site.AccessTokenFormat = "jwt" }
	load := func(p *process, change func(*config.Site)) {
		t.Helper()
		if err := p.load(ringOf(t, 1), someSite(t, change)); err != nil {
			t.Fatal(err)
		}
	}
	turn := func(d time.Duration) {
		t.Helper()
		for range d / Interval {
			s.after(Interval)
			for _, p := range []*process{a, b} {
				if err := p.Turn(t.Context(), p.serves); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	told := func(want ...string) {
		t.Helper()
		var got []string
		for _, e := range a.heard.events {
			got = append(got, fmt.Sprint(e.Kind, " ", e.Reason))
		}
		if !slices.Equal(got, want) {
			t.Errorf("told %q, want %q", got, want)
		}
	}
	load(a, nil)
	load(b, nil)
	turn(2 * time.Minute)
	load(a, changed) // an upgrade
	turn(40 * time.Second)
	load(b, changed)
	turn(2 * time.Minute)
	told()
	load(b, nil)
	turn(10 * time.Minute)
	told("instances.differ configuration")
	e := a.heard.events[0]
	if want := "the configuration of https://mcp.example.com is another one at " + b.ID() + ": access_token_format"; e.Kind != event.InstancesDiffer || e.Cause() != want || e.Detail != fixConfiguration {
		t.Errorf("got %q, %q; want %q", e.Cause(), e.Detail, want)
	}
	load(b, changed)
	turn(2 * time.Minute)
	told("instances.differ configuration", "instances.agree configuration")
	s.skew[a.ID()] = -10 * time.Minute
	turn(2 * time.Minute)
	told("instances.differ configuration", "instances.agree configuration", "instances.differ clock")
	if got, want := a.heard.events[2].Cause(), "the clock of this instance is 10m0s behind that of the database"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if o := a.Overview(); len(o.Instances) != 2 || len(o.Different) != 1 || !o.Different[0].Lasts(s.now()) {
		t.Errorf("%+v", o)
	}
	b.version = "v2"
	turn(30 * time.Minute)
	if n := len(a.heard.events); n != 3 {
		t.Errorf("%d events within half an hour of an upgrade", n)
	}
	if err := b.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := a.Turn(t.Context(), a.serves); err != nil {
		t.Fatal(err)
	}
	if o := a.Overview(); len(o.Instances) != 1 || len(o.Different) != 1 {
		t.Errorf("the other left: %+v", o)
	}
}

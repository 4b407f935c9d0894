package clients

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
)

func TestDocumentURL_AS24_H08(t *testing.T) {
	m := newMetadataDocuments(&config.Registration{}, &DirectoryDeps{Egress: egress.New(egress.Options{}), Documents: NewDocumentCache()})
	const malformed, notAllowed = "malformed URL", "egress: URL not allowed"
	for uri, want := range map[string]string{
		"https://client.example/c":                                         "client.example",
		"https://client.example/":                                          "client.example",
		"https://Client.Example/oauth/c.json":                              "client.example",
		"https://client.example:443/c":                                     "client.example",
		"https://xn--clude-2ve.ai/c":                                       "xn--clude-2ve.ai", // H19
		"https://client.example":                                           malformed,
		"https://client.example:8443/c":                                    notAllowed,
		"http://client.example/c":                                          notAllowed,
		"https://client.example/c?x":                                       malformed,
		"https://client.example/c?":                                        malformed,
		"https://client.example/c#":                                        malformed,
		"https://client.example/c#x":                                       malformed,
		"https://user@client.example/c":                                    malformed,
		"https://@client.example/c":                                        malformed,
		"https://client.example/../c":                                      malformed,
		"https://client.example/./c":                                       malformed,
		"https://client.example/%2e%2e/c":                                  malformed,
		"https://client.example/a/..":                                      malformed,
		"https://client.example\\@evil/c":                                  malformed,
		"https://client.example/\u00e9":                                    malformed,
		"https://cl\u0430ude.ai/c":                                         malformed, // H19: Cyrillic
		"https:///c":                                                       malformed,
		"https:/client.example/c":                                          malformed,
		"https:client.example/c":                                           malformed,
		"https://client.example./c":                                        malformed,
		"https://client.example/ c":                                        malformed,
		"https://client.example/\n":                                        malformed,
		"https://localhost/c":                                              notAllowed,
		"https://a.localhost/c":                                            notAllowed,
		"https://127.0.0.1/c":                                              notAllowed,
		"http://127.0.0.1/c":                                               notAllowed,
		"https://[::1]/c":                                                  notAllowed,
		"https://169.254.169.254/latest/meta":                              notAllowed,
		"https://[64:ff9b::a9fe:a9fe]/c":                                   notAllowed,
		"https://" + strings.Repeat("a.", 200) + "example/c":               malformed,
		"https://client.example/" + strings.Repeat("a", maxDocumentURLLen): malformed,
	} {
		host, err := m.checkURL(uri)
		if err != nil {
			host = err.Error()
		}
		if host != want {
			t.Errorf("%s: %q, want %q", uri, host, want)
		}
	}
}

func TestTrustPolicy_AS32_H15(t *testing.T) {
	for _, tc := range []struct {
		host            string
		allowed, denied []string
		want            bool
	}{
		{"claude.ai", nil, nil, true},
		{"claude.ai", []string{"claude.ai"}, nil, true},
		{"claude.ai", []string{"Claude.AI"}, nil, true},
		{"evilclaude.ai", []string{"claude.ai"}, nil, false},
		{"claude.ai.evil", []string{"claude.ai"}, nil, false},
		{"a.claude.ai", []string{"claude.ai"}, nil, false},
		{"a.claude.ai", []string{".claude.ai"}, nil, true},
		{"claude.ai", []string{".claude.ai"}, nil, false},
		{"evilclaude.ai", []string{".claude.ai"}, nil, false},
		{"claude.ai", nil, []string{"claude.ai"}, false},
		{"a.claude.ai", []string{".claude.ai"}, []string{"a.claude.ai"}, false},
		{"b.a.evil.example", nil, []string{".EVIL.example"}, false},
	} {
		if got := hostAccepted(tc.host, &config.Registration{AllowHosts: tc.allowed, DenyHosts: tc.denied}); got != tc.want {
			t.Errorf("%s, allowed %v, denied %v: %v", tc.host, tc.allowed, tc.denied, got)
		}
	}
	for name, policy := range map[string]func(*siteConfig){
		"switched off": func(c *siteConfig) { c.Registration.MetadataDocuments = new(false) },
		"not allowed":  func(c *siteConfig) { c.Registration.AllowHosts = []string{"claude.ai"} },
		"denied":       func(c *siteConfig) { c.Registration.DenyHosts = []string{"127.0.0.1"} },
	} {
		ts, h := newDocumentSite(t, policy)
		_, err := ts.lookup(h.Publish("/c", goodDocument))
		refusedBecause(t, err, "invalid_client", "not accepted here")
		if h.Hits() != 0 {
			t.Errorf("%s: %v after %d requests", name, err, h.Hits())
		}
	}
}

func FuzzDocumentURL(f *testing.F) {
	for _, s := range []string{"https://client.example/c", "https://a\\@b/c", "https://[::1]:443/c", "https://1.2.3.4/", "http://x/c", "https://a/%2e%2e"} {
		f.Add(s)
	}
	m := newMetadataDocuments(&config.Registration{}, &DirectoryDeps{Egress: egress.New(egress.Options{}), Documents: NewDocumentCache()})
	f.Fuzz(func(t *testing.T, id string) {
		host, err := m.checkURL(id)
		if err != nil {
			return
		}
		u, err := url.Parse(id)
		if err != nil || u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path == "" {
			t.Fatalf("%q: %v", id, err)
		}
		if host == "" || host != strings.ToLower(u.Hostname()) || strings.ContainsFunc(host, func(r rune) bool { return r > '~' || r <= ' ' }) {
			t.Fatalf("%q: host %q", id, host)
		}
		if slices.Contains(strings.Split(u.Path, "/"), "..") {
			t.Fatalf("%q has dot segments", id)
		}
		if u.String() == "" || m.egress.CheckURL(u) != nil {
			t.Fatalf("%q cannot be fetched", id)
		}
	})
}

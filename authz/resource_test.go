package authz

import (
	"net/url"
	"slices"
	"strings"
	"testing"
)

func TestCanonicalResource_AS49_AS50_F03_F06(t *testing.T) {
	tests := []struct{ in, want string }{
		{"https://mcp.example.com/mcp", "https://mcp.example.com/mcp"},
		{"HTTPS://MCP.Example.COM/mcp", "https://mcp.example.com/mcp"},
		{"https://mcp.example.com:443/mcp", "https://mcp.example.com/mcp"},
		{"https://mcp.example.com:8443/mcp", "https://mcp.example.com:8443/mcp"},
		{"http://localhost:80/mcp", "http://localhost/mcp"},
		{"http://localhost:443/mcp", "http://localhost:443/mcp"},
		{"http://[::1]:8080/mcp", "http://[::1]:8080/mcp"},
		{"https://mcp.example.com/mcp/", "https://mcp.example.com/mcp"},
		{"https://mcp.example.com/mcp//", "https://mcp.example.com/mcp/"},
		{"https://mcp.example.com/", "https://mcp.example.com"},
		{"https://mcp.example.com", "https://mcp.example.com"},
		{"https://mcp.example.com/MCP", "https://mcp.example.com/MCP"},
		{"https://mcp.example.com/%6dcp", "https://mcp.example.com/%6dcp"},
		{"https://mcp.example.com/a/../mcp", "https://mcp.example.com/a/../mcp"},
		{"https://mcp.example.com/mcp?x=/", "https://mcp.example.com/mcp?x=/"},
		{"", ""},
		{"/mcp", ""},
		{"mcp.example.com/mcp", ""},
		{"//mcp.example.com/mcp", ""},
		{"https:mcp.example.com", ""},
		{"https:///mcp", ""},
		{"ftp://mcp.example.com/mcp", ""},
		{"urn:mcp", ""},
		{"https://u@mcp.example.com/mcp", ""},
		{"https://u:p@mcp.example.com/mcp", ""},
		{"https://mcp.example.com/mcp#f", ""},
		{"https://mcp.example.com/mcp#", ""},
		{"https://mcp.example.com\\@evil.example/mcp", ""},
		{"https://mcp.example.com:port/mcp", ""},
		{"https://mcp.example.com/\x00", ""},
		{"https://mcp.example.com/" + strings.Repeat("a", 3<<10), ""},
	}
	for _, tt := range tests {
		if got, ok := canonicalResource(tt.in); got != tt.want || ok != (tt.want != "") {
			t.Errorf("canonicalResource(%.60q) = %q, %v, want %q", tt.in, got, ok, tt.want)
		}
	}
}

func TestResolveResources_F01_F05(t *testing.T) {
	as := newLab(t, func(c *Config) {
		c.Servers = append(slices.Clone(c.Servers), Server{ID: "root", Path: "/", Resource: labIssuer})
	}).as
	tests := []struct {
		name     string
		in, want []string
		ok       bool
	}{
		{"none", nil, nil, true},
		{"empty", []string{""}, nil, true},
		{"one twice", []string{labMain, labMain + "/"}, []string{labMain}, true},
		{"two", []string{labMain, labNotion}, []string{labMain, labNotion}, true},
		{"root", []string{labIssuer + "/"}, []string{labIssuer}, true},
		{"one is unknown", []string{labMain, labMain + "2"}, nil, false},
		{"below one", []string{labMain + "/x"}, nil, false},
		{"other host", []string{"https://mcp.example.com.evil.example/mcp"}, nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := as.Policy.Resolve(tt.in)
			if (err == nil) != tt.ok || !slices.Equal(got, tt.want) {
				t.Errorf("resources = %q, %v", got, err)
			}
			if err != nil && asError(err).Code != "invalid_target" {
				t.Errorf("code = %s", asError(err).Code)
			}
		})
	}
}

// The canonical form is stable, and changes nothing that could lead elsewhere.
func FuzzCanonicalResource(f *testing.F) {
	for _, s := range []string{labMain, "HTTPS://A:443/", "https://[::1]:/x?y#z", "https://a\\b", "http://a/%2f/", "HTTPS://:443"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := canonicalResource(s)
		if !ok {
			return
		}
		in, err := url.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		out, err := url.Parse(got)
		if err != nil {
			t.Fatalf("%q becomes %q: %v", s, got, err)
		}
		if out.Hostname() != strings.ToLower(in.Hostname()) || out.User != nil || out.Fragment != "" ||
			out.EscapedPath() != in.EscapedPath() && out.EscapedPath()+"/" != in.EscapedPath() {
			t.Errorf("%q becomes %q", s, got)
		}
		if again, ok := canonicalResource(got); !ok || again != got && again+"/" != got {
			t.Errorf("%q is not stable: %q", got, again)
		}
	})
}

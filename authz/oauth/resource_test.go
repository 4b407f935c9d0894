package oauth

import (
	"net/url"
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
		if got, ok := CanonicalResource(tt.in); got != tt.want || ok != (tt.want != "") {
			t.Errorf("canonicalResource(%.60q) = %q, %v, want %q", tt.in, got, ok, tt.want)
		}
	}
}

// The canonical form is stable, and changes nothing that could lead elsewhere.
func FuzzCanonicalResource(f *testing.F) {
	for _, s := range []string{"https://mcp.example.com/mcp", "HTTPS://A:443/", "https://[::1]:/x?y#z", "https://a\\b", "http://a/%2f/", "HTTPS://:443"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := CanonicalResource(s)
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
		if again, ok := CanonicalResource(got); !ok || again != got && again+"/" != got {
			t.Errorf("%q is not stable: %q", got, again)
		}
	})
}

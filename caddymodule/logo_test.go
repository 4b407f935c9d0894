package caddymodule

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// The logo is on every page, in the page itself; what is none is told with the
// line that names it.
func TestLogo(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := write("logo.svg", `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><script>alert(1)</script></svg>`)
	t.Setenv("LOGO", good)
	for name, test := range map[string]struct{ logo, err string }{
		"an image":       {logo: good},
		"a placeholder":  {logo: "{env.LOGO}"},
		"not there":      {logo: filepath.Join(dir, "none.png"), err: "no such file or directory"},
		"a folder":       {logo: dir, err: "is a directory"},
		"no image":       {logo: write("logo.html", "<html>"), err: "logo.html: it is no PNG, JPEG, WebP, GIF or SVG image"},
		"too large":      {logo: write("large.png", "\x89PNG\r\n\x1a\n"+strings.Repeat("x", 64<<10)), err: "large.png: the image has more than 64 KiB"},
		"unset variable": {logo: "{env.NO_SUCH_LOGO}", err: "NO_SUCH_LOGO"},
	} {
		t.Run(name, func(t *testing.T) {
			lines := alice + "server a /mcp http://127.0.0.1:1/mcp"
			g := newGateway(t, lines)
			text := g.caddyfile(lines + "\nbranding {\nlogo " + test.logo + "\n}")
			if test.err == "" {
				g.load(text)
				res := g.call("GET", "/oauth/account", "", "Authorization", "")
				page := status(t, res, 200)
				if !strings.Contains(page, `<img src="data:image/svg&#43;xml;base64,`) && !strings.Contains(page, `<img src="data:image/svg+xml;base64,`) {
					t.Errorf("no logo on\n%s", page)
				}
				if csp := res.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "img-src data:;") || !strings.Contains(csp, "default-src 'none'") {
					t.Errorf("policy %q", csp)
				}
				return
			}
			config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
			if err == nil {
				err = caddy.Load(config, true)
			}
			if err == nil || !strings.Contains(err.Error(), test.err) || !strings.Contains(err.Error(), "logo: ") || !strings.Contains(err.Error(), "Caddyfile:") {
				t.Errorf("got %v, want %s with its line", err, test.err)
			}
		})
	}
}

package caddymodule

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// Whatever path of the site is asked for in a wrong way, the answer shows a
// reference. That it is in the log, every test asserts in the end.
func TestEveryRouteShowsReferences(t *testing.T) {
	notion := newService(t)
	g := newGateway(t, people("alice")+"registration {\nrate_limit 100000\n}\nserver up /up "+oauthtest.Serve(t, nil).URL+"\n"+notion.server())
	site := activeHandler(t).site.Load()
	var paths []string
	for _, path := range site.routes.Paths() {
		if paths = append(paths, path); strings.HasSuffix(path, "/") {
			paths = append(paths, path+"x")
		}
	}
	slices.Sort(paths)
	asked, refused := 0, 0
	for _, path := range paths {
		for _, method := range []string{"GET", "POST", "PUT", "DELETE", "PATCH"} {
			for _, kind := range []string{formType, "application/json"} {
				res := g.call(method, path+"?a=secret-canary", "a=secret-canary", "Authorization", "", "Content-Type", kind)
				body, err := io.ReadAll(res.Body)
				if err != nil {
					t.Fatal(err)
				}
				asked++
				if res.StatusCode < http.StatusBadRequest {
					continue
				}
				refused++
				if !shownReference.Match(body) {
					t.Errorf("%s %s (%s): %s shows no reference: %.200s", method, path, kind, res.Status, body)
				}
			}
		}
	}
	if refused < asked/2 || len(paths) < 40 {
		t.Errorf("%d of %d requests to %d paths were refused", refused, asked, len(paths))
	}
}

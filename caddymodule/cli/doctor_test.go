package cli

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/adminapi"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/instances"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/doctor"
)

// The doctor of a site of the Caddy that runs here says in what the Caddys that serve
// it differ, once that has lasted; of anybody else's server it does not.
func TestDoctorTellsDifferences(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	status := adminapi.Status{Differences: []instances.Difference{
		{Kind: "configuration", Text: "the configuration is another one at b", Fix: "Reload it.", Since: time.Now().Add(-time.Hour)},
		{Kind: "encryption_keys", Text: "the keys are in another order at b", Fix: "Order them.", Since: time.Now()},
	}}
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != adminapi.StatusPath {
			http.NotFound(w, r)
			return
		}
		_ = json.NewEncoder(w).Encode(status)
	}))
	defer api.Close()
	for url, want := range map[string]int{server.URL + "/mcp": 1, "http://127.0.0.1:1/mcp": 0} {
		status.Sites = []adminapi.SiteStatus{{URL: server.URL, Servers: []adminapi.ServerStatus{{ID: "a", URL: url}}}}
		var out bytes.Buffer
		cmd := &cobra.Command{SilenceErrors: true, SilenceUsage: true}
		Add(cmd)
		cmd.SetOut(&out)
		cmd.SetArgs([]string{"doctor", server.URL + "/mcp", "--json", "--address", strings.TrimPrefix(api.URL, "http://")})
		_ = cmd.ExecuteContext(t.Context()) // tells what is wrong with the server
		var report doctor.Report
		if err := json.Unmarshal(out.Bytes(), &report); err != nil {
			t.Fatalf("%v: %s", err, &out)
		}
		var seen []string
		for _, f := range report.Findings {
			if f.ID == "instances_differ" {
				seen = append(seen, f.Seen+": "+f.Fix)
			}
		}
		if len(seen) != want || want > 0 && seen[0] != "the configuration is another one at b: Reload it." {
			t.Errorf("the site has %s: it tells %q", url, seen)
		}
	}
}

package cli

import (
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/adminapi"
)

func TestTable(t *testing.T) {
	names := &table{heads: []string{"ID", "NAME", "SITE"}, cut: []string{"NAME"}, none: "Nobody."}
	names.add("1", "Claude \x1b[31mCode\u202e and more", "https://a.example")
	names.add("22", "日本語のクライアントの名前")
	for name, test := range map[string]struct {
		table   *table
		columns int
		want    string
	}{
		"no terminal": {names, 0, `
ID  NAME                        SITE
1   Claude �[31mCode� and more  https://a.example
22  日本語のクライアントの名前  -
`},
		"cut": {names, 40, `
ID  NAME               SITE
1   Claude �[31mCode…  https://a.example
22  日本語のクライア…  -
`},
		"blocks": {names, 30, `
ID    1
NAME  Claude �[31mCode� and more
SITE  https://a.example

ID    22
NAME  日本語のクライアントの名前
SITE  -
`},
		"nobody": {&table{heads: []string{"ID"}, none: "Nobody."}, 80, "\nNobody.\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var got strings.Builder
			if err := test.table.write(&got, test.columns); err != nil || "\n"+got.String() != test.want {
				t.Errorf("error %v, got\n%swant%s", err, got.String(), test.want)
			}
		})
	}
}

// The address that people give their clients is whole on every terminal.
func TestAddressesAreNotCut(t *testing.T) {
	const address = "https://mcp.example.com/notion/mcp"
	status := statusTable(adminapi.Status{Sites: []adminapi.SiteStatus{{
		URL: "https://mcp.example.com", SignIn: []string{"virtual_key"}, Servers: []adminapi.ServerStatus{{ID: "notion", URL: address, Auth: "per_user_oauth"}},
	}}})
	for _, columns := range []int{0, 40, 80, 92, 120} {
		var b strings.Builder
		if err := status.write(&b, columns); err != nil || !strings.Contains(b.String(), address) {
			t.Errorf("%d columns: %v\n%s", columns, err, b.String())
		}
	}
}

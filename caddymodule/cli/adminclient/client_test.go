package adminclient

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
)

// Commands look for the admin API where Caddy has it.
func TestAdminAddress(t *testing.T) {
	t.Setenv("ADMIN", "localhost:3000")
	dir := t.TempDir()
	for name, test := range map[string]struct {
		file, text string
		place      Place
		want       string // the address or, with a space, what is wrong
	}{
		"default":            {want: caddy.DefaultAdminListen},
		"address":            {place: Place{Address: "localhost:1"}, want: "localhost:1"},
		"Caddyfile":          {file: "Caddyfile", text: "{\n\tadmin localhost:2\n}\n", want: "localhost:2"},
		"any name":           {file: "gateway.conf", text: "{\n\tadmin localhost:2\n}\n", want: "localhost:2"},
		"JSON":               {file: "caddy.json", text: `{"admin": {"listen": "unix//run/x.sock|0220"}}`, want: "unix//run/x.sock|0220"},
		"not said":           {file: "caddy.json", text: `{}`, want: caddy.DefaultAdminListen},
		"of the environment": {file: "Caddyfile", text: "{\n\tadmin {env.ADMIN}\n}\n", want: "localhost:3000"},
		"adapter":            {file: "x", text: "{\n\tadmin localhost:2\n}\n", place: Place{Adapter: "caddyfile"}, want: "localhost:2"},
		"unknown adapter":    {file: "x", text: "x", place: Place{Adapter: "toml"}, want: `there is no adapter "toml" in this Caddy`},
		"off":                {file: "Caddyfile", text: "{\n\tadmin off\n}\n", want: "turns the admin API off (admin off), which this command asks"},
		"of no environment":  {file: "Caddyfile", text: "{\n\tadmin {env.NONE}\n}\n", want: "the address of the admin API in"},
		"no Caddyfile":       {file: "Caddyfile", text: "{", want: "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			if test.file != "" {
				test.place.Config = filepath.Join(dir, test.file)
				if err := os.WriteFile(test.place.Config, []byte(test.text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, err := test.place.find()
			if err != nil {
				got = err.Error()
			}
			if got != test.want && (err == nil || !strings.Contains(got, test.want)) {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

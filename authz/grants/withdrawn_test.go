package grants

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// The record of a configuration is compared with those in databases: written
// otherwise, it looks as if everything had been withdrawn.
func TestStandingIsWrittenAsInDatabases(t *testing.T) {
	keys := identity.NewVirtualKeys(
		identity.Key{Name: "alice", Hash: storage.Hash{0xa1, 2, 3, 4, 5}}, identity.Key{Name: "ci", Hash: storage.Hash{0xc1}, Servers: []string{"b", "a"}})
	shared := identity.Method{Kind: "shared_secret", SharedProof: "v1"}
	for want, cfg := range map[string]*config.Site{
		`{"kinds":["user_id","virtual_key"],"keys":{"virtual_key:alice":{"proof":"a1020304"},"virtual_key:ci":{"proof":"c1000000","servers":["a","b"]}},"clients":["app","web"]}`: {
			SignIn: identity.Methods{identity.ByVirtualKey(keys), identity.ByUserID()}, Clients: []config.Client{{ID: "web"}, {ID: "app"}},
		},
		`{"kinds":["anonymous","caddy","shared_secret v1"],"keys":{},"clients":null}`: {
			SignIn: identity.Methods{identity.Anonymously(), identity.ByCaddy(time.Hour), shared},
		},
	} {
		w := &Withdrawals{grants: &Grants{cfg: cfg}}
		if got, err := json.Marshal(w.standing()); err != nil || string(got) != want {
			t.Errorf("got  %s (%v)\nwant %s", got, err, want)
		}
	}
}

package consent

import (
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/pages"
)

// What methods call their messages and paths is not taken by the pages.
func TestMethodsFitThePages(t *testing.T) {
	taken := map[string]bool{
		submitPath: true, accountConnectPath: true, accountKeyPath: true, answerPath: true, disconnectPath: true,
		revokeGrantPath: true, signOutPath: true, signOutEverywherePath: true,
	}
	for _, m := range identity.Builtin(identity.Options{}) {
		for code := range m.Messages {
			if pages.English.Refused[code] != "" {
				t.Errorf("%s: the pages have a message with the code %s", m.Kind, code)
			}
		}
		if taken[flowFormsPath+m.Form] || taken[accountFormsPath+m.Form] {
			t.Errorf("%s: the pages have a form at %s", m.Kind, m.Form)
		}
	}
}

package identity

import (
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

func TestVirtualKeys(t *testing.T) {
	keys := NewVirtualKeys(
		Key{Name: "team", Hash: storage.HashOf("secret-1")},
		Key{Name: "ci", Hash: storage.HashOf("secret-2"), Servers: []string{"notion"}},
	)
	if k := keys.ByKey("secret-1"); k == nil || k.Name != "team" || !k.Allows("anything") {
		t.Errorf("team key = %+v", k)
	}
	k := keys.ByKey("secret-2")
	if k == nil || k.Name != "ci" || !k.Allows("notion") || k.Allows("github") {
		t.Errorf("ci key = %+v", k)
	}
	if id := k.Identity(); !keys.isValid(id) {
		t.Errorf("%+v is not valid", id)
	}
	replaced := Key{Name: "ci", Hash: storage.HashOf("secret-3")}
	if id := replaced.Identity(); keys.isValid(id) || id.Subject != k.Identity().Subject {
		t.Errorf("%+v is valid", id)
	}
	if got := keys.behind("virtual_key:ci"); got != k {
		t.Errorf("by subject = %+v", got)
	}
	for _, wrong := range []string{"", "secret", "secret-1 ", "SECRET-1", "team"} {
		if k := keys.ByKey(wrong); k != nil {
			t.Errorf("ByKey(%q) = %+v", wrong, k)
		}
	}
	for _, wrong := range []string{"ci", "user_id:ci", "virtual_key:"} {
		if k := keys.behind(wrong); k != nil {
			t.Errorf("behind(%q) = %+v", wrong, k)
		}
	}
	var none *VirtualKeys
	if none.isValid(k.Identity()) || none.ByKey("secret-1") != nil || none.behind("virtual_key:ci") != nil {
		t.Error("a nil set has a key")
	}
}

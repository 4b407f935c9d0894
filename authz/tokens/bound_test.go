package tokens

import (
	"reflect"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

func boundRecord() storage.AccessToken {
	return storage.AccessToken{
		GrantID: "g", Issuer: testIssuer, ClientID: "c", Scope: []string{"a", "b"}, Audience: []string{"r"},
		Identity: storage.Identity{Kind: "oidc", Subject: "oidc:a", Name: "a", Proof: "p", Person: "1", ProviderSession: "s"},
	}
}

// A token is bound to each field of its record, under whichever key of the ring made
// it, and to no other token's.
func TestBound_M02(t *testing.T) {
	of := boundRecord()
	old, rotated, other := accessTokensOf(t, testIssuer, 1), accessTokensOf(t, testIssuer, 2, 1), accessTokensOf(t, "https://other.example.com", 1)
	for name, token := range map[string]string{
		"opaque": old.New(ContentsOf(&of)), "JWT": jwtOf(t, old.NewClaims(Claims{Issuer: testIssuer}, ContentsOf(&of)), ""),
	} {
		if !old.Issued(token) || !old.Bound(token, ContentsOf(&of)) || !rotated.Bound(token, ContentsOf(&of)) {
			t.Errorf("%s: not bound to its record", name)
		}
		if other.Bound(token, ContentsOf(&of)) || old.Bound(old.New(Contents{}), ContentsOf(&of)) || old.Bound("", ContentsOf(&of)) {
			t.Errorf("%s: bound to another record", name)
		}
		changed := map[string]storage.AccessToken{}
		for i, fields := 0, reflect.TypeFor[storage.AccessToken](); i < fields.NumField(); i++ {
			each := boundRecord()
			switch v := reflect.ValueOf(&each).Elem().Field(i).Addr().Interface().(type) {
			case *string:
				*v += "x"
			case *[]string:
				*v = append(*v, "x")
			default:
				continue
			}
			changed[fields.Field(i).Name] = each
		}
		for i, fields := 0, reflect.TypeFor[storage.Identity](); i < fields.NumField(); i++ {
			each := boundRecord()
			if v, isText := reflect.ValueOf(&each.Identity).Elem().Field(i).Addr().Interface().(*string); isText {
				*v += "x"
				changed["Identity."+fields.Field(i).Name] = each
			}
		}
		moved := boundRecord()
		moved.Scope, moved.Audience = []string{"a"}, []string{"b", "r"}
		changed["Scope that is Audience"] = moved
		joined := boundRecord()
		joined.Scope = []string{"ab"}
		changed["Scope in one"] = joined
		if len(changed) < 12 {
			t.Errorf("%d changes", len(changed))
		}
		for field, record := range changed {
			if old.Bound(token, ContentsOf(&record)) {
				t.Errorf("%s: not bound to %s", name, field)
			}
		}
	}
}

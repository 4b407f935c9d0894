package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// What a person chose is in a token that others verify, and in introspection, in the
// words of RFC 9396.
func TestAuthorizationDetails(t *testing.T) {
	ts := newTestServer(t, signsTokens)
	got := ts.redeem("web", ts.approved(request("client_id", "web"), alice).Get("code"))
	if _, claims := ts.claims(got.Access); claims["authorization_details"] != nil {
		t.Errorf("nothing was chosen, and the token says %v", claims["authorization_details"])
	}
	grants, err := ts.as.Grants.List(t.Context(), alice.Subject)
	if err != nil || len(grants) != 1 {
		t.Fatalf("%+v, %v", grants, err)
	}
	choose := func(lasts time.Duration, chosen ...storage.Choice) (token string, details, introspected any) {
		t.Helper()
		if _, err := ts.as.Grants.Change(t.Context(), alice.Subject, grants[0].ID, chosen, lasts); err != nil {
			t.Fatal(err)
		}
		old := got
		got = ts.refresh("web", got.Refresh)
		ts.want(got, http.StatusOK, "")
		_, claims := ts.claims(got.Access)
		for _, token := range []string{old.Access, got.Access} {
			var answer map[string]any
			if err := json.Unmarshal([]byte(ts.introspect("web", token).body), &answer); err != nil || answer["active"] != true {
				t.Fatalf("%v, %v", answer, err)
			}
			introspected = answer["authorization_details"]
		}
		return got.Access, claims["authorization_details"], introspected
	}
	_, details, introspected := choose(0, storage.Choice{Resource: notionResource, Tools: []string{"create"}, Without: []string{"delete"}, Others: storage.ReadOnlyOthers})
	want := []any{map[string]any{"type": "mcp_tools", "locations": []any{notionResource}, "tools": []any{"create"}, "without": []any{"delete"}, "others": "read_only"}}
	if !reflect.DeepEqual(details, want) || !reflect.DeepEqual(introspected, want) {
		t.Errorf("the token says %v, introspection %v\nwant %v", details, introspected, want)
	}
	many := storage.Choice{Resource: notionResource, Others: storage.AllOthers}
	for i := range 400 {
		many.Without = append(many.Without, fmt.Sprintf("tool-%03d", i))
	}
	token, details, introspected := choose(0, many)
	want = []any{map[string]any{"type": "mcp_tools", "locations": []any{notionResource}, "others": "none", "incomplete": true}}
	if !reflect.DeepEqual(details, want) || len(token) > 4<<10 {
		t.Errorf("a token of %d bytes says %v\nwant %v", len(token), details, want)
	}
	if all, _ := introspected.([]any); len(all) != 1 || len(all[0].(map[string]any)["without"].([]any)) != 400 {
		t.Errorf("introspection says %v", introspected)
	}
	if _, details, introspected = choose(0); details != nil || introspected != nil {
		t.Errorf("everything was chosen, and the token says %v, introspection %v", details, introspected)
	}
	_, _, _ = choose(10 * time.Minute)
	if _, claims := ts.claims(got.Access); claims["exp"] != float64(testStart.Add(10*time.Minute).Unix()) {
		t.Errorf("it ends at %v, want in ten minutes, as the grant", claims["exp"])
	}
}

package trace

import "testing"

// Operators know people by what an identity provider calls them, not by how that
// provider is named here.
func TestIsOf(t *testing.T) {
	for person, want := range map[string]bool{
		"oidc:entra:Alice": true, "entra:alice": true, "alice": true, "oidc:entra:alice": true,
		"": false, "lice": false, "oidc": false, "entra": false, "oidc:entra": false, "bob": false,
	} {
		if got := (&Trace{Person: "oidc:entra:alice"}).isOf(person); got != want {
			t.Errorf("%q: got %v, want %v", person, got, want)
		}
	}
	if (&Trace{}).isOf("alice") {
		t.Error("nobody is alice")
	}
}

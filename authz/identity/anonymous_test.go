package identity

import "testing"

func TestNewAnonymousIsNobodyElse(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := NewAnonymous()
		if id.Kind != "anonymous" || id.Name != "" || len(id.Subject) < len("anonymous:")+26 {
			t.Fatalf("identity = %+v", id)
		}
		if seen[id.Subject] {
			t.Fatal("the same subject twice")
		}
		seen[id.Subject] = true
	}
}

func TestIsAnonymous(t *testing.T) {
	for name, want := range map[string]bool{
		NewAnonymous().Subject: true, "user_id:anonymous": false, "user_id:anonymous:x": false, "anonymous": false, "": false,
	} {
		if IsAnonymous(name) != want {
			t.Errorf("%q: %t", name, !want)
		}
	}
}

package client

import "testing"

func TestSameIssuer_CL5(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		same bool
	}{
		{"https://a.example", "https://a.example/", true},
		{"https://a.example:8443/", "https://a.example:8443", true},
		{"https://a.example/t", "https://a.example/t/", false},
		{"https://a.example//", "https://a.example/", false},
		{"https://a.example", "https://A.example", false},
		{"https://a.example", "https://a.example:443", false},
		{"https://a.example", "http://a.example", false},
		{"https://a.example?q=/", "https://a.example?q=", false},
		{"https://", "https:///", false},
		{"", "/", false},
	} {
		if got := SameIssuer(tt.a, tt.b); got != tt.same {
			t.Errorf("SameIssuer(%q, %q) = %v, want %v", tt.a, tt.b, got, tt.same)
		}
	}
}

package oauth

import (
	"strings"
	"testing"
)

func TestPKCE_B03_B07(t *testing.T) {
	// The example of RFC 7636 appendix B.
	const verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	if got := CodeChallenge(verifier); got != "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM" || !ValidCodeChallenge(got) {
		t.Errorf("challenge = %q", got)
	}
	a43 := strings.Repeat("a", 43)
	for _, s := range []string{"", a43[1:], a43 + "a", a43 + "=", a43 + "\n", a43[1:] + "\n", a43[1:] + "+", a43[1:] + "."} {
		if ValidCodeChallenge(s) {
			t.Errorf("%q is taken for a challenge", s)
		}
	}
	for s, want := range map[string]bool{
		a43: true, strings.Repeat("~", 128): true, "-._~" + a43: true,
		"": false, a43[1:]: false, strings.Repeat("a", 129): false, a43 + "=": false, a43 + "\n": false, a43 + "é": false,
	} {
		if ValidCodeVerifier(s) != want {
			t.Errorf("validVerifier(%q) = %v", s, !want)
		}
	}
}

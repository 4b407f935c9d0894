package server

import (
	"net/http/httptest"
	"testing"
)

// A call that passes costs no memory while its token is cached.
func TestCheckAllocatesNothing(t *testing.T) {
	f := newGateFixture(t, gateConfig())
	g := f.gate("mcp")
	for name, token := range map[string]string{"token": f.issue(nil), "virtual key": "sk-ops"} {
		r := httptest.NewRequest("POST", mcpURL, nil)
		r.Header.Set(authHeader, "Bearer "+token)
		w := httptest.NewRecorder()
		if n := testing.AllocsPerRun(100, func() {
			if g.Check(w, r) == nil {
				t.Fatal("refused")
			}
		}); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

package tokens

import (
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

func TestRefreshTokensProveTheirGrant(t *testing.T) {
	tokens := NewRefreshTokens(ringOf(t, 1), testIssuer)
	const id = "6ba7b810-9dad-41d1-80b4-00c04fd430c8"
	token := tokens.New(id)
	if got := tokens.GrantID(token); got != id {
		t.Errorf("GrantID = %q", got)
	}
	for i := len(RefreshPrefix); i < len(token); i++ {
		changed := []byte(token)
		if changed[i]++; changed[i] == '{' || changed[i] == '[' {
			changed[i] = 'A'
		}
		if got := tokens.GrantID(string(changed)); got != "" {
			t.Fatalf("character %d changed: proves %q", i, got)
		}
	}
	for _, other := range []string{"", "x", RefreshPrefix, oauth.NewSecret(RefreshPrefix), token[:len(token)-1], token + "A", tokens.New("no UUID")} {
		if got := tokens.GrantID(other); got != "" {
			t.Errorf("%q proves %q", other, got)
		}
	}
	elsewhere := NewRefreshTokens(ringOf(t, 1), "https://other.example")
	if got := elsewhere.GrantID(token); got != "" {
		t.Errorf("at another site it proves %q", got)
	}
}

// A refresh token that an earlier version issued proves its grant as well.
func TestEarlierRefreshTokenProvesItsGrant(t *testing.T) {
	const token = "mcprt_Avbf_0vsZTw4hx2lkq-1k9DRdHGGnqISdV7_nFkMbh9rp7gQna1B0YC0AMBP1DDIjT4201BjIjNaBSA3MfjTMw"
	if got, want := NewRefreshTokens(ringOf(t, 1), testIssuer).GrantID(token), "6ba7b810-9dad-41d1-80b4-00c04fd430c8"; got != want {
		t.Errorf("GrantID = %q, want %q", got, want)
	}
}

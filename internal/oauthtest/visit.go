package oauthtest

import (
	"net/http"
	"net/url"
	"testing"
)

// Visit goes to the authorization endpoint of a Provider with a browser that is
// signed in to the account, and returns where the browser is sent.
func Visit(t testing.TB, authorize, account string) *url.URL {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, authorize, nil)
	if err != nil {
		t.Fatalf("authorization request %q: %v", authorize, err)
	}
	r.Header.Set(AccountHeader, account)
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		t.Fatalf("authorization request %q: %v", authorize, err)
	}
	_ = res.Body.Close()
	to, err := res.Location()
	if err != nil {
		t.Fatalf("authorization request %q: status %d, %v; want a redirect", authorize, res.StatusCode, err)
	}
	return to
}

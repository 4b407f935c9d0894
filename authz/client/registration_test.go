package client

import (
	"fmt"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

func TestLenientRegistration_CL7(t *testing.T) {
	ends := time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, tt := range map[string]struct {
		member any
		want   time.Time
	}{
		"none": {nil, time.Time{}}, "never": {0, time.Time{}}, "never, as text": {"0", time.Time{}}, "empty": {"", time.Time{}}, "false": {false, time.Time{}},
		"seconds": {ends.Unix(), ends}, "as text": {fmt.Sprint(ends.Unix()), ends}, "a fraction": {float64(ends.Unix()) + 0.25, ends},
		"a fraction, as text": {fmt.Sprintf("%d.75", ends.Unix()), ends}, "exponent": {"1.798859045e9", ends}, "a date": {"2027-01-02T03:04:05Z", ends},
		"over already": {3600, time.Time{}}, "less than nothing": {-1, time.Time{}}, "beyond all years": {1e300, time.Time{}}, "words": {"never", time.Time{}},
		"infinite": {"inf", time.Time{}}, "a list": {[]int{1}, time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			tc := newTestClient(t)
			tc.provider.Page("/register", oauthtest.Document(oauthtest.Object{
				"client_id": "dynamic-1", "client_secret": "s", "client_secret_expires_at": tt.member, "client_id_issued_at": "1790000000",
			}))
			r, err := tc.Register(t.Context(), tc.found())
			if err != nil {
				t.Fatal(err)
			}
			if !r.SecretEnds.Equal(tt.want) {
				t.Errorf("ends at %v, want %v", r.SecretEnds, tt.want)
			}
		})
	}
	t.Run("digits of an id as a number", func(t *testing.T) {
		tc := newTestClient(t)
		tc.provider.Page("/register", oauthtest.Document(oauthtest.Object{"client_id": 12345678901234567}))
		if r, err := tc.Register(t.Context(), tc.found()); err != nil || r.ID != "12345678901234567" {
			t.Errorf("registered %+v, %v", r, err)
		}
	})
	for name, tt := range map[string]struct {
		uris any
		want Problem
	}{
		"the one": {testSite + "/api/oauth/callback/notion", ""}, "another": {"https://other.example/cb", NotRegistered}, "none of them": {[]string{}, NotRegistered},
	} {
		t.Run("redirect URIs: "+name, func(t *testing.T) {
			tc := newTestClient(t)
			tc.provider.Page("/register", oauthtest.Document(oauthtest.Object{"client_id": "c", "redirect_uris": tt.uris}))
			_, err := tc.Register(t.Context(), tc.found())
			wantProblem(t, err, tt.want)
		})
	}
	t.Run("refused with 200", func(t *testing.T) {
		tc := newTestClient(t)
		tc.provider.Page("/register", oauthtest.Document(oauthtest.Object{"error": "invalid_client_metadata"}))
		_, err := tc.Register(t.Context(), tc.found())
		wantProblem(t, err, NotRegistered)
	})
}

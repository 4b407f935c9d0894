package record

import (
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

func TestAccessTokenRoundTrip(t *testing.T) {
	instants := rapid.Custom(func(t *rapid.T) time.Time {
		seconds := rapid.Int64Range(-1<<36, 1<<36).Draw(t, "seconds")
		return time.Unix(seconds, rapid.Int64Range(0, 1e9-1).Draw(t, "nanoseconds")).UTC()
	})
	lists := rapid.Custom(func(t *rapid.T) []string {
		list := rapid.SliceOfN(rapid.String(), 0, 200).Draw(t, "list")
		if len(list) == 0 {
			return nil
		}
		return list
	})
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String()
		want := storage.AccessToken{
			GrantID: text.Draw(t, "grant"), Issuer: text.Draw(t, "issuer"), ClientID: text.Draw(t, "client"),
			Identity: drawIdentity(t),
			Scope:    lists.Draw(t, "scope"), Audience: lists.Draw(t, "audience"),
			IssuedAt: instants.Draw(t, "issued"), ExpiresAt: instants.Draw(t, "expires"),
			Chosen: drawChosen(t),
		}
		comesBack(t, want, addedSince(want.Identity, want.Chosen), AppendAccessToken, AccessToken)
		body := AppendAccessToken(nil, want)
		if end, err := AccessTokenEnd(body); err != nil || !end.Equal(want.ExpiresAt) {
			t.Fatalf("ends at %v, %v; want %v", end, err, want.ExpiresAt)
		}
	})
}

func TestAccessTokenWithoutAnEnd(t *testing.T) {
	for n := range 2 * timeSize {
		if _, err := AccessTokenEnd(AppendAccessToken(nil, storage.AccessToken{})[:n]); err != ErrCorrupt {
			t.Errorf("of %d bytes: %v", n, err)
		}
	}
}

func TestZeroTimeRoundTrip(t *testing.T) {
	got, err := AccessToken(AppendAccessToken(nil, storage.AccessToken{}))
	if err != nil || !reflect.DeepEqual(got, storage.AccessToken{}) {
		t.Fatalf("%+v, %v", got, err)
	}
}

func FuzzDecodeAccessToken(f *testing.F) {
	f.Add(AppendAccessToken(nil, storage.AccessToken{GrantID: "g", Scope: []string{"a", "b"}, Audience: []string{"c"}}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := AccessToken(body)
		if err != nil {
			if err != ErrCorrupt || !reflect.DeepEqual(got, storage.AccessToken{}) {
				t.Fatalf("%+v, %v", got, err)
			}
			return
		}
		again, err := AccessToken(AppendAccessToken(nil, got))
		if err != nil || !reflect.DeepEqual(again, got) {
			t.Fatalf("%+v does not survive: %+v, %v", got, again, err)
		}
	})
}

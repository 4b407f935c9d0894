package record

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

var (
	drawnTime = rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.Bool().Draw(t, "zero") {
			return time.Time{}
		}
		return time.Unix(rapid.Int64Range(-1<<36, 1<<36).Draw(t, "seconds"), rapid.Int64Range(0, 1e9-1).Draw(t, "nanoseconds")).UTC()
	})
	drawnHash = rapid.Custom(func(t *rapid.T) storage.Hash {
		return storage.HashOf(rapid.String().Draw(t, "secret"))
	})
)

// drawList draws a list; an empty one is nil, as it comes back.
func drawList[T any](t *rapid.T, of *rapid.Generator[T], label string) []T {
	list := rapid.SliceOfN(of, 0, 20).Draw(t, label)
	if len(list) == 0 {
		return nil
	}
	return list
}

func drawIdentity(t *rapid.T) storage.Identity {
	text := rapid.String()
	return storage.Identity{Kind: text.Draw(t, "kind"), Subject: text.Draw(t, "subject"), Name: text.Draw(t, "name"), Proof: text.Draw(t, "proof"),
		Person: text.Draw(t, "person"), ProviderSession: text.Draw(t, "session")}
}

// drawChosen draws what a person chose.
func drawChosen(t *rapid.T) []storage.Choice {
	text := rapid.String()
	return drawList(t, rapid.Custom(func(t *rapid.T) storage.Choice {
		return storage.Choice{
			Resource: text.Draw(t, "resource"), Tools: drawList(t, text, "tools"), Without: drawList(t, text, "without"),
			Others: storage.Others(text.Draw(t, "others")),
		}
	}), "chosen")
}

// addedSince returns the sizes of what earlier versions did not write: all that is
// appended, and what was chosen.
func addedSince(id storage.Identity, chosen []storage.Choice) []int {
	all := len(appendMore(nil, id, chosen))
	return []int{all, all - len(appendMore(nil, id, nil))}
}

// comesBack checks that a record is read as it was written, and that one with a
// byte too few or too many is not read. added are the sizes of what earlier
// versions did not write.
func comesBack[T any](t *rapid.T, want T, added []int, encode func([]byte, T) []byte, decode func([]byte) (T, error)) {
	body := encode(nil, want)
	if got, err := decode(body); err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, %v\nwant %+v", got, err, want)
	}
	var nothing T
	cut := rapid.IntRange(0, len(body)-1).Draw(t, "cut")
	for slices.Contains(added, len(body)-cut) {
		cut--
	}
	for _, damaged := range [][]byte{body[:cut], append(body, 0)} {
		if got, err := decode(damaged); err != ErrCorrupt || !reflect.DeepEqual(got, nothing) {
			t.Fatalf("%d of %d bytes: %+v, %v", len(damaged), len(body), got, err)
		}
	}
}

func TestGrantRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String()
		g := storage.Grant{
			ID: text.Draw(t, "id"), Issuer: text.Draw(t, "issuer"), ClientID: text.Draw(t, "client"), Identity: drawIdentity(t),
			Scope: drawList(t, text, "scope"), Resources: drawList(t, text, "resources"), ResourcesRequested: rapid.Bool().Draw(t, "requested"),
			RedirectURI: text.Draw(t, "redirect"), ClientName: text.Draw(t, "client name"),
			CreatedAt: drawnTime.Draw(t, "created"), ExpiresAt: drawnTime.Draw(t, "expires"), AbsoluteExpiresAt: drawnTime.Draw(t, "absolute"),
			LastUsedAt: drawnTime.Draw(t, "used"), RevokedAt: drawnTime.Draw(t, "revoked"),
			AccessTokens: drawList(t, drawnHash, "access tokens"), RefreshToken: rapid.Ptr(drawnHash, true).Draw(t, "refresh token"),
			Chosen: drawChosen(t),
		}
		comesBack(t, g, addedSince(g.Identity, g.Chosen), AppendGrant, Grant)
	})
}

func TestRefreshTokenRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String()
		token := storage.RefreshToken{
			GrantID: text.Draw(t, "grant"), Issuer: text.Draw(t, "issuer"), ClientID: text.Draw(t, "client"),
			ExpiresAt: drawnTime.Draw(t, "expires"), RotatedAt: drawnTime.Draw(t, "rotated"), Successor: rapid.Ptr(drawnHash, true).Draw(t, "successor"),
			Predecessor: rapid.Ptr(drawnHash, true).Draw(t, "predecessor"), Authenticated: rapid.Bool().Draw(t, "authenticated"),
		}
		added := len(appendBool(appendHash(nil, token.Predecessor), token.Authenticated))
		comesBack(t, token, []int{added}, AppendRefreshToken, RefreshToken)
		body := AppendRefreshToken(nil, token)
		earlier, err := RefreshToken(body[:len(body)-added])
		token.Predecessor, token.Authenticated = nil, false
		if err != nil || !reflect.DeepEqual(earlier, token) {
			t.Fatalf("of an earlier version: %+v, %v\nwant %+v", earlier, err, token)
		}
	})
}

// A field that the binary form does not know would be lost in silence.
func TestBinaryFormsKnowEveryField(t *testing.T) {
	for _, record := range []struct {
		of     any
		fields int
	}{
		{storage.AccessToken{}, 10}, {storage.Grant{}, 17}, {storage.RefreshToken{}, 9},
		{storage.Choice{}, 4},
		{storage.Identity{}, 7}, // Claims are kept with the person
	} {
		if kind := reflect.TypeOf(record.of); kind.NumField() != record.fields {
			t.Errorf("%v has %d fields: teach its binary form, and its round trip, the new ones", kind, kind.NumField())
		}
	}
}

func FuzzDecodeGrant(f *testing.F) {
	h := storage.HashOf("token")
	f.Add(AppendGrant(nil, storage.Grant{ID: "g", Scope: []string{"a", "b"}, AccessTokens: []storage.Hash{h}, RefreshToken: &h}))
	f.Add(AppendGrant(nil, storage.Grant{ID: "g", Chosen: []storage.Choice{{Resource: "r", Tools: []string{"a"}, Others: storage.NoOthers}}}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) { survives(t, body, AppendGrant, Grant) })
}

func FuzzDecodeRefreshToken(f *testing.F) {
	h := storage.HashOf("token")
	f.Add(AppendRefreshToken(nil, storage.RefreshToken{GrantID: "g", Successor: &h}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) { survives(t, body, AppendRefreshToken, RefreshToken) })
}

// survives checks that whatever is read is read again once it is written.
func survives[T any](t *testing.T, body []byte, encode func([]byte, T) []byte, decode func([]byte) (T, error)) {
	got, err := decode(body)
	if err != nil {
		if err != ErrCorrupt {
			t.Fatal(err)
		}
		return
	}
	if again, err := decode(encode(nil, got)); err != nil || !reflect.DeepEqual(again, got) {
		t.Fatalf("%+v does not survive: %+v, %v", got, again, err)
	}
}

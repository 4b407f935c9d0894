package seal

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func key(b byte) []byte { return bytes.Repeat([]byte{b}, KeySize) }

func ring(t testing.TB, keys ...[]byte) *Keyring {
	t.Helper()
	k, err := NewKeyring(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestWeakKeys_M04(t *testing.T) {
	for want, keys := range map[string][][]byte{
		"needs at least one key": nil,
		"key 1 has 0 bytes":      {{}},
		"key 1 has 31 bytes":     {key(1)[:31]},
		"key 1 has 33 bytes":     {append(key(1), 1)},
		"key 1 is all zero":      {make([]byte, KeySize)},
		"key 2 is all zero":      {key(1), make([]byte, KeySize)},
	} {
		t.Run(want, func(t *testing.T) {
			if k, err := NewKeyring(keys...); err == nil || k != nil || !strings.Contains(err.Error(), want) {
				t.Fatalf("NewKeyring = %v, %v; want %s", k, err, want)
			}
		})
	}
}

func TestKeyRotation_M03(t *testing.T) {
	before := ring(t, key(1))
	old := before.Seal([]byte("token"), "vault", "alice")

	during := ring(t, key(2), key(1))
	if got, err := during.Open(old, "vault", "alice"); err != nil || string(got) != "token" {
		t.Fatalf("Open under the rotated ring = %q, %v", got, err)
	}
	if during.Current(old) {
		t.Error("Current: data of the old key passes for current")
	}
	rewrapped := during.Seal([]byte("token"), "vault", "alice")
	if !during.Current(rewrapped) {
		t.Error("Current: new data does not use the first key")
	}
	if _, err := before.Open(rewrapped, "vault", "alice"); !errors.Is(err, errUnknownKey) {
		t.Errorf("old ring opens new data: %v", err)
	}

	after := ring(t, key(2))
	if _, err := after.Open(old, "vault", "alice"); !errors.Is(err, errUnknownKey) || !errors.Is(err, ErrOpen) {
		t.Errorf("dropped key: %v; want errUnknownKey", err)
	}
	if got, err := after.Open(rewrapped, "vault", "alice"); err != nil || string(got) != "token" {
		t.Errorf("Open after the rotation = %q, %v", got, err)
	}
}

func TestCallersKeyIsCopied(t *testing.T) {
	mine := key(1)
	k := ring(t, mine)
	sealed := k.Seal([]byte("x"))
	clear(mine)
	if _, err := ring(t, key(1)).Open(sealed); err != nil {
		t.Fatal(err)
	}
	if _, err := ring(t, key(1)).Open(k.Seal([]byte("x"))); err != nil {
		t.Fatalf("clearing the caller's slice changed the ring: %v", err)
	}
}

func TestDerive(t *testing.T) {
	k := ring(t, key(1), key(2))
	a, b := k.Derive("a"), k.Derive("b")
	if len(a) != 2 || a[0] == a[1] || a[0] == b[0] {
		t.Fatal("subkeys must differ by key and by purpose")
	}
	if again := ring(t, key(2)).Derive("a"); again[0] != a[1] {
		t.Fatal("a subkey depends on the key's place in the ring")
	}
	if a[0] == [32]byte(key(1)) {
		t.Fatal("the key itself is handed out")
	}
}

var contexts = rapid.SliceOfN(rapid.StringN(0, 6, 12), 0, 3)

func sameContext(a, b []string) bool {
	return bytes.Equal(appendParts(nil, a), appendParts(nil, b))
}

func TestTamper_M02(t *testing.T) {
	k := ring(t, key(1), key(2))
	const secret = "mcprt_0123456789012345678901234567890123456789012"
	for name, s := range map[string]struct {
		seal func([]byte, ...string) []byte
		open func([]byte, ...string) ([]byte, error)
	}{
		"keyring": {k.Seal, k.Open},
		"under": {
			func(p []byte, c ...string) []byte { return Under(secret, p, c...) },
			func(p []byte, c ...string) ([]byte, error) { return OpenUnder(secret, p, c...) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				plain := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "plain")
				ctx := contexts.Draw(t, "context")
				sealed := s.seal(plain, ctx...)
				if got, err := s.open(sealed, ctx...); err != nil || !bytes.Equal(got, plain) {
					t.Fatalf("round trip: %v", err)
				}
				if len(plain) >= 8 && bytes.Contains(sealed, plain) {
					t.Fatal("the plaintext shows")
				}
				if bytes.Equal(sealed, s.seal(plain, ctx...)) {
					t.Fatal("sealing twice gives the same bytes")
				}

				other := contexts.Draw(t, "other context")
				if _, err := s.open(sealed, other...); !sameContext(ctx, other) && !errors.Is(err, ErrOpen) {
					t.Fatalf("opened in another context: %v", err)
				}

				bit := rapid.IntRange(0, len(sealed)*8-1).Draw(t, "bit")
				flipped := bytes.Clone(sealed)
				flipped[bit/8] ^= 1 << (bit % 8)
				if _, err := s.open(flipped, ctx...); !errors.Is(err, ErrOpen) {
					t.Fatalf("opened with bit %d flipped: %v", bit, err)
				}

				cut := rapid.IntRange(0, len(sealed)-1).Draw(t, "cut")
				if _, err := s.open(sealed[:cut], ctx...); !errors.Is(err, ErrOpen) {
					t.Fatalf("opened when cut to %d bytes: %v", cut, err)
				}
			})
		})
	}
}

func TestContextParts_M02(t *testing.T) {
	k := ring(t, key(1))
	sealed := k.Seal([]byte("x"), "ab", "c")
	for _, ctx := range [][]string{{"a", "bc"}, {"abc"}, {"c", "ab"}, {"ab", "c", ""}, {"ab"}, nil} {
		if _, err := k.Open(sealed, ctx...); !errors.Is(err, ErrOpen) {
			t.Errorf("context %q opens what was sealed for ab, c", ctx)
		}
	}
}

// A copy of the database and of the ring does not open what is sealed under a
// token: only the token does.
func TestUnderNeedsTheSecret_D12(t *testing.T) {
	k := ring(t, key(1))
	sealed := Under("the presented refresh token", []byte("successor"), "replay")
	if _, err := OpenUnder("another refresh token", sealed, "replay"); !errors.Is(err, ErrOpen) {
		t.Errorf("another secret: %v", err)
	}
	if _, err := OpenUnder("", sealed, "replay"); !errors.Is(err, ErrOpen) {
		t.Errorf("no secret: %v", err)
	}
	if _, err := k.Open(sealed, "replay"); !errors.Is(err, ErrOpen) {
		t.Errorf("the ring: %v", err)
	}
	if _, err := OpenUnder(string(key(1)), k.Seal([]byte("x"), "replay"), "replay"); !errors.Is(err, ErrOpen) {
		t.Errorf("what the ring sealed opens under its key as a secret: %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	k := ring(f, key(1))
	// Sealed once and kept, so that every fuzzing process knows the one genuine
	// input, and that a change of the format is noticed.
	genuine, err := hex.DecodeString("01d14372d213cd0d65c8d957b844c9e1ca0d729f1e662d1fa71d185a4bcd" +
		"0ae53eab38aae25240e35c807d412032a2c068eaa1fceff39aad1c9aa0")
	if err != nil {
		f.Fatal(err)
	}
	if got, err := k.Open(genuine, "flow", "https://issuer.example"); err != nil || string(got) != "secret" {
		f.Fatalf("the format changed: %v", err)
	}
	f.Add(genuine)
	f.Add(Under("secret", []byte("x"), "flow"))
	f.Add([]byte{versionRing})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, sealed []byte) {
		plain, err := k.Open(sealed, "flow", "https://issuer.example")
		if err == nil && !bytes.Equal(sealed, genuine) {
			t.Fatalf("forged %x opens as %q", sealed, plain)
		}
		if err != nil && !errors.Is(err, ErrOpen) {
			t.Fatalf("error of another kind: %v", err)
		}
		if _, err := OpenUnder("secret", sealed, "flow", "https://issuer.example"); !errors.Is(err, ErrOpen) {
			t.Fatalf("forged %x under a secret: %v", sealed, err)
		}
		k.Current(sealed)
	})
}

func BenchmarkSeal(b *testing.B) {
	k := ring(b, key(1))
	plain := make([]byte, 600)
	sealed := k.Seal(plain, "flow")
	b.Run("seal", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			k.Seal(plain, "flow")
		}
	})
	b.Run("open", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := k.Open(sealed, "flow"); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// Each record has a key of its own, which its salt makes: no number of records
// wears out the key they come from (NIST SP 800-38D section 8.3).
func TestSaltOfEachRecord(t *testing.T) {
	ring, err := NewKeyring(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	for name, seal := range map[string]func() []byte{
		"Seal":  func() []byte { return ring.Seal([]byte("text"), "context") },
		"Under": func() []byte { return Under("a secret of some length, chosen at random", []byte("text"), "context") },
	} {
		header := len(seal()) - saltSize - gcmOverhead - len("text")
		salts := map[string]bool{}
		for range 100 {
			salts[string(seal()[header:header+saltSize])] = true
		}
		if len(salts) != 100 {
			t.Errorf("%s: %d salts for 100 records", name, len(salts))
		}
	}
	a, errA := recordCipher(make([]byte, 32), bytes.Repeat([]byte{1}, saltSize))
	b, errB := recordCipher(make([]byte, 32), bytes.Repeat([]byte{2}, saltSize))
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	if _, err := b.Open(nil, nil, a.Seal(nil, nil, []byte("text"), nil), nil); err == nil {
		t.Error("the salt makes no other key")
	}
}

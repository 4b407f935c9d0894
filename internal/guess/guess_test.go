package guess

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/uuid"
)

// M04: what people make up is no secret.
func TestEasyToGuess_M04(t *testing.T) {
	for _, secret := range []string{
		"0000000000000001", "aaaaaaaaaaaaaaaa", "passwordpassword", "1234567890123456", "0123456789abcdef", "abcdefghijklmnop",
		"qwertyuiopasdfgh", "PasswordPassword1", "changemechangeme", "alicealicealice1", "abababababababab", "9876543210987654",
		"secret-secret-secret", "adminadminadmin123", "test-key-test-key", "aaaabbbbccccdddd", "Password12345678", "letmeinletmein12",
		"1q2w3e1q2w3e1q2w3e", "zyxwvutsrqponmlk", "                ", "this-is-a-secret", "thisisasecretkey", "your-secret-key-here",
		"00000000000000000000000000000000000000000000000000000000000000000", "1111222233334444", "!@#$%^&*()!@#$%^",
		"change-me-please", "my-secret-password", "supersecretpassword", "a1a1a1a1a1a1a1a1", "deadbeefdeadbeef",
		"00112233445566778899aabbccddeeff", "000102030405060708090a0b0c0d0e0f", "aabbccddeeffgghh", "acegikmoqsuwyace", "1q2w3e4r5t6y7u8i",
		"11111111-2222-3333-4444-555555555555", "2025-01-01-2025-01-01", "pa55word-pa55word", "S3cr3t-S3cr3t-S3cr3t", "cGFzc3dvcmRwYXNzd29yZA==",
		"MTIzNDU2Nzg5MDEyMzQ1Ng", "70617373776f726470617373776f7264", "Summer2025Summer2025", "3141592653589793", "deadbeefcafebabe", "thequickbrownfox",
	} {
		if !Easy(secret) {
			t.Errorf("%q passes with %.0f bits", secret, guessBits(secret))
		}
	}
	for _, secret := range []string{"alice-key-0123456789abcdef", "bob-key-0123456789abcdef", "correct horse battery staple", "vK3-wq9ZpL0_x2Rt"} {
		if Easy(secret) {
			t.Errorf("%q is refused with %.0f bits", secret, guessBits(secret))
		}
	}
}

// Nothing random is refused.
func TestRandomIsNotEasyToGuess(t *testing.T) {
	random := rand.NewChaCha8([32]byte{}) // the same every time: one in a million has a pattern by chance
	for range 10_000 {
		var b [16]byte
		_, _ = random.Read(b[:])
		id, _ := uuid.NewRandomFromReader(random)
		for kind, secret := range map[string]string{
			"digits": fmt.Sprintf("%010d%010d", random.Uint64()%1e10, random.Uint64()%1e10), "hex": hex.EncodeToString(b[:8]),
			"base64": base64.StdEncoding.EncodeToString(b[:12]), "uuid": id.String(), "base32": base32.StdEncoding.EncodeToString(b[:10]),
		} {
			if Easy(secret) {
				t.Fatalf("%s %q is refused with %.0f bits", kind, secret, guessBits(secret))
			}
		}
	}
}

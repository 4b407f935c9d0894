package oauth

import (
	"crypto/sha256"
	"encoding/base64"
)

// MethodS256 is the one code challenge method (OAuth 2.1 section 7.5).
const MethodS256 = "S256"

// challengeLength is that of 256 bits in base64url.
const challengeLength = 43

// ValidCodeChallenge reports whether s can be an S256 code challenge (RFC 7636
// section 4.2). No other method is accepted (OAuth 2.1 section 7.5).
func ValidCodeChallenge(s string) bool {
	if len(s) != challengeLength { // the decoder skips line breaks, so ask first
		return false
	}
	sum, err := base64.RawURLEncoding.DecodeString(s)
	return err == nil && len(sum) == sha256.Size
}

// ValidCodeVerifier reports whether s is a code verifier (RFC 7636 section 4.1).
func ValidCodeVerifier(s string) bool {
	if len(s) < 43 || len(s) > 128 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '-', c == '.', c == '_', c == '~':
		default:
			return false
		}
	}
	return true
}

// CodeChallenge returns the S256 challenge of a verifier.
func CodeChallenge(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

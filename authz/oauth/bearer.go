package oauth

import (
	"net/http"
	"strings"
)

// maxBearer is the longest credential that is looked at.
const maxBearer = 8 << 10

// Credential tells what the Authorization headers of a request hold.
type Credential int

const (
	NoCredential        Credential = iota // nothing, or another scheme
	BearerCredential                      // one bearer token
	MalformedCredential                   // more than one, or not a token
)

// ParseBearer returns the token in the values of a request's Authorization
// header (RFC 6750 section 2.1). The scheme is case-insensitive (RFC 9110
// section 11.1). Tokens of the operator's choosing need not be b64tokens, so
// any visible ASCII will do, except for the comma that would make a list.
func ParseBearer(values []string) (string, Credential) {
	if len(values) == 0 {
		return "", NoCredential
	}
	if len(values) > 1 {
		return "", MalformedCredential
	}
	const scheme = "bearer"
	v := values[0]
	if len(v) < len(scheme) || !strings.EqualFold(v[:len(scheme)], scheme) {
		return "", NoCredential
	}
	token := strings.TrimLeft(v[len(scheme):], " ")
	if token == "" { // a client without a token, such as one whose variable is unset
		return "", NoCredential
	}
	if len(token) == len(v)-len(scheme) { // no space: another scheme that begins alike
		return "", NoCredential
	}
	if len(token) > maxBearer {
		return "", MalformedCredential
	}
	for i := range len(token) {
		if c := token[i]; c <= ' ' || c > '~' || c == ',' {
			return "", MalformedCredential
		}
	}
	return token, BearerCredential
}

// BearerToken returns the one bearer token of a request.
func BearerToken(r *http.Request) (string, bool) {
	token, kind := ParseBearer(r.Header.Values("Authorization"))
	return token, kind == BearerCredential
}

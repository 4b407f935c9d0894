package authz

import (
	"net/http"
	"strings"
)

// maxBearer is the longest credential that is looked at.
const maxBearer = 8 << 10

// credential tells what the Authorization headers of a request hold.
type credential int

const (
	noCredential        credential = iota // nothing, or another scheme
	bearerCredential                      // one bearer token
	malformedCredential                   // more than one, or not a token
)

// parseBearer returns the token in the values of a request's Authorization
// header (RFC 6750 section 2.1). The scheme is case-insensitive (RFC 9110
// section 11.1). Tokens of the operator's choosing need not be b64tokens, so
// any visible ASCII will do, except for the comma that would make a list.
func parseBearer(values []string) (string, credential) {
	if len(values) == 0 {
		return "", noCredential
	}
	if len(values) > 1 {
		return "", malformedCredential
	}
	const scheme = "bearer"
	v := values[0]
	if len(v) < len(scheme) || !strings.EqualFold(v[:len(scheme)], scheme) {
		return "", noCredential
	}
	token := strings.TrimLeft(v[len(scheme):], " ")
	if token == "" { // a client without a token, such as one whose variable is unset
		return "", noCredential
	}
	if len(token) == len(v)-len(scheme) { // no space: another scheme that begins alike
		return "", noCredential
	}
	if len(token) > maxBearer {
		return "", malformedCredential
	}
	for i := range len(token) {
		if c := token[i]; c <= ' ' || c > '~' || c == ',' {
			return "", malformedCredential
		}
	}
	return token, bearerCredential
}

// bearerToken returns the one bearer token of a request.
func bearerToken(r *http.Request) (string, bool) {
	token, kind := parseBearer(r.Header.Values("Authorization"))
	return token, kind == bearerCredential
}

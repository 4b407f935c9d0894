package tokens

import (
	"encoding/json"
	"strings"
)

// Claims are those of an access token that is a JWT (RFC 9068 section 2.2). The
// gate never looks at them: the token is looked up in the store by its hash.
type Claims struct {
	// ID comes first, where jwtID finds it.
	ID        string   `json:"jti"`
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	ClientID  string   `json:"client_id"`
	Audience  audience `json:"aud"`
	Scope     string   `json:"scope,omitempty"`
	ExpiresAt int64    `json:"exp"`
	IssuedAt  int64    `json:"iat"`
	// Details are what the person lets the client use, where that is not everything (RFC
	// 9396 section 9.1).
	Details []Detail `json:"authorization_details,omitempty"`
}

// audience is a text if it is one (RFC 7519 section 4.1.3).
type audience []string

// MarshalJSON implements json.Marshaler.
func (a audience) MarshalJSON() ([]byte, error) {
	if len(a) == 1 {
		return json.Marshal(a[0])
	}
	return json.Marshal([]string(a))
}

// NewClaims returns the claims with an id by which the token is recognized, for a
// record with these contents.
func (a *AccessTokens) NewClaims(c Claims, of Contents) Claims {
	c.ID = a.newID(jwtForm, of)
	return c
}

const (
	headerStart  = "eyJhbGciOi" // {"alg":
	payloadStart = `{"jti":"`
	// idEnd is the length of the payload's beginning, with the id and the quotation
	// mark behind it. It can be decoded by itself.
	idEnd        = len(payloadStart) + encodedSize + 1
	encodedIDEnd = idEnd / 3 * 4
)

// jwtID returns the id of a token that looks like one of our JWTs.
func jwtID(token string) (id [encodedSize]byte, ok bool) {
	if !strings.HasPrefix(token, headerStart) {
		return id, false
	}
	_, rest, _ := strings.Cut(token, ".")
	payload, signature, signed := strings.Cut(rest, ".")
	if !signed || signature == "" || len(payload) < encodedIDEnd {
		return id, false
	}
	var encoded [encodedIDEnd]byte
	copy(encoded[:], payload)
	var start [idEnd]byte
	if _, err := strictBase64.Decode(start[:], encoded[:]); err != nil || start[idEnd-1] != '"' {
		return id, false
	}
	copy(id[:], start[len(payloadStart):])
	return id, string(start[:len(payloadStart)]) == payloadStart
}

package signing

import (
	"encoding/json"
	"slices"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// The types of what is signed, in the header typ: one is never taken for another.
const (
	AccessTokenType = "at+jwt"           // RFC 9068 section 2.1
	StatementType   = "mcp-identity+jwt" // see Statements
)

// maxClaims is how many bytes the claims about a person can have: servers bound
// the headers of a request, often at 8 KiB.
const maxClaims = 4 << 10

// hasGroups says, as Microsoft Entra ID does, that a person has groups which did
// not fit.
const hasGroups = "hasgroups"

// ClaimsOf returns the claims of the names that are known of a person. A name that
// the person may have chosen is not among them. What does not fit is left out, the
// largest first.
func ClaimsOf(id *storage.Identity, methods identity.Methods, names []string) map[string]json.RawMessage {
	claims := make(map[string]json.RawMessage, len(names))
	size := 0
	for _, name := range names {
		if value := claimOf(id, methods, name); value != nil {
			claims[name] = value
			size += len(name) + len(value)
		}
	}
	for size > maxClaims {
		largest := ""
		for name, value := range claims {
			if largest == "" || len(value) > len(claims[largest]) {
				largest = name
			}
		}
		size -= len(largest) + len(claims[largest])
		delete(claims, largest)
		if largest == "groups" {
			claims[hasGroups] = json.RawMessage("true")
		}
	}
	return claims
}

// claimOf returns the JSON of one claim, nil if it is not known.
func claimOf(id *storage.Identity, methods identity.Methods, name string) json.RawMessage {
	c := id.Claims
	if c == nil {
		c = new(storage.Claims)
	}
	switch name {
	case "email":
		return text(c.Email)
	case "name":
		if c.Name == "" && methods.NameVerified(*id) {
			return text(id.Name)
		}
		return text(c.Name)
	case "groups":
		if len(c.Groups) == 0 {
			return nil
		}
		return mustMarshal(c.Groups)
	}
	return c.Extra[name]
}

func text(s string) json.RawMessage {
	if s == "" {
		return nil
	}
	return mustMarshal(s)
}

// Object returns the JSON object of a struct, with more members behind its own.
func Object(fixed any, more map[string]json.RawMessage) []byte {
	object := mustMarshal(fixed)
	if len(more) == 0 {
		return object
	}
	return slices.Concat(object[:len(object)-1], []byte{','}, mustMarshal(more)[1:])
}

// mustMarshal is for what always marshals.
func mustMarshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

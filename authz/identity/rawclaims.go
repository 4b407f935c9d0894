package identity

import "encoding/json"

// RawClaims are the claims of a token or a UserInfo response, each as it was written.
type RawClaims map[string]json.RawMessage

// Find returns the claim at a path, or nil if there is none: the member of that name
// or, as in realm_access.roles and kubernetes.io.namespace, a member of an object.
func (c RawClaims) Find(path string) json.RawMessage {
	if raw, ok := c[path]; ok {
		return raw
	}
	for i, char := range path {
		if char != '.' {
			continue
		}
		var inner RawClaims
		if raw, ok := c[path[:i]]; ok && json.Unmarshal(raw, &inner) == nil {
			if found := inner.Find(path[i+1:]); found != nil {
				return found
			}
		}
	}
	return nil
}

package oauth

import "strings"

// BearerChallenge returns the WWW-Authenticate of a protected resource (RFC 6750
// section 3, RFC 9728 section 5.1). A request without a credential did nothing
// wrong, so its challenge has no error: e is nil.
func BearerChallenge(e *Error, metadataURL, scope string) string {
	var b strings.Builder
	b.WriteString("Bearer ")
	if e != nil {
		b.WriteString(`error="` + e.Code + `", error_description="` + e.Description + `", `)
	}
	b.WriteString(`resource_metadata="` + metadataURL + `"`)
	if scope != "" {
		b.WriteString(`, scope="` + scope + `"`)
	}
	return b.String()
}

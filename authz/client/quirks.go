package client

// Quirks are for providers that do not do what the standards say.
type Quirks struct {
	// NoResource leaves out the resource parameter (RFC 8707).
	NoResource bool
	// NoRefreshRotation: the provider does not replace refresh tokens, so one
	// whose answer was lost can be sent again. Found out at the first refresh.
	NoRefreshRotation bool
	// MetadataDocument says whether the provider is shown our client ID metadata
	// document, if it takes those. Default: if it can be expected to fetch it.
	MetadataDocument *bool
	// AllowMissingPKCE goes on without metadata that says S256 is supported.
	AllowMissingPKCE bool
	// AuthMethod is how we authenticate at the token endpoint:
	// client_secret_basic, client_secret_post, private_key_jwt or none.
	// Default: what the registration or the provider's metadata says, else
	// client_secret_basic with a secret and none without.
	AuthMethod string
	// ScopeSeparator stands between scopes. Default: a space.
	ScopeSeparator string
	// AuthorizeParams are added to the authorization request, such as
	// access_type or prompt. They cannot replace the parameters of OAuth.
	AuthorizeParams map[string]string
}

package client

// Quirks are for providers that do not do what the standards say, or not as this
// site would do it by itself.
type Quirks struct {
	// NoResource leaves out the resource parameter, for providers that refuse it.
	NoResource bool `json:"no_resource,omitempty"`
	// MetadataDocument says whether a provider that takes client ID metadata
	// documents is shown that of this site. It has to fetch it from here.
	// Default: true, unless the site's name or address is one of your own network
	// or machine and the provider's is not.
	MetadataDocument *bool `json:"metadata_document,omitempty"`
	// NoRefreshRotation is for a provider that does not replace refresh tokens:
	// one whose answer was lost is sent again at once. Default: found out at the
	// first refresh.
	NoRefreshRotation bool `json:"no_refresh_rotation,omitempty"`
	// AllowMissingPKCE goes on with a provider whose metadata does not say
	// that it supports PKCE. PKCE is used all the same.
	AllowMissingPKCE bool `json:"allow_missing_pkce,omitempty"`
	// AuthorizeParams are added when a person is sent to the provider, such as
	// `access_type` or `prompt`. Default: none.
	AuthorizeParams map[string]string `json:"authorize_params,omitempty"`
	// UserToken is for a provider that gives a token of the person beside one of an
	// application, as Slack does: scopes are asked for as `user_scope`, and the token
	// is the one in `authed_user`, or one of the type `user`.
	UserToken bool `json:"user_token,omitempty"`
	// ScopeSeparator stands between scopes. Default: a space.
	ScopeSeparator string `json:"scope_separator,omitempty"`
}

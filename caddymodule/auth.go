package caddymodule

// Auth says whose account at the upstream calls use, where it is connected
// through this site instead of being configured: in JSON the counterpart of
// `auth oauth`, `auth per_user_oauth` and `auth per_user_headers`.
type Auth struct {
	// Mode is one of:
	//
	// - `per_user_oauth`: each person connects their own account, with OAuth.
	// - `oauth`: an operator connects one account that everybody's calls use;
	//   see `POST /mcp_oauth/connections/{server}/start` of Caddy's admin API.
	// - `per_user_headers`: each person pastes a key, which is tried before it
	//   is kept.
	Mode string `json:"mode"`
	// Optional lets people go on without connecting this server when they sign
	// in. Default: who is asked for this server has to connect it.
	Optional bool `json:"optional,omitempty"`

	// Scopes are asked of the provider. Default: what the server asks for.
	Scopes []string `json:"scopes,omitempty"`
	// ClientID is what the provider knows this site as. Default: our client
	// metadata document where the provider takes one, else dynamic registration.
	ClientID string `json:"client_id,omitempty"`
	// ClientSecret belongs to ClientID: a placeholder such as `{env.SECRET}`.
	ClientSecret string `json:"client_secret,omitempty"`
	// AuthMethod is how this site authenticates at the token endpoint: one of
	// `client_secret_basic`, `client_secret_post`, `private_key_jwt`, `none`.
	// Default: what the provider supports.
	AuthMethod string `json:"auth_method,omitempty"`
	// CallbackPath is the path on this site that the provider was told for
	// ClientID. Default: `/api/oauth/callback`. Without ClientID it is
	// `/api/oauth/callback/` and the id of the server. Servers can share one
	// only if their Issuer, or else their endpoints, are the same.
	CallbackPath string `json:"callback_path,omitempty"`
	// AuthorizationEndpoint and TokenEndpoint belong to a provider without
	// discovery. Both need ClientID.
	AuthorizationEndpoint string `json:"authorization_endpoint,omitempty"`
	TokenEndpoint         string `json:"token_endpoint,omitempty"`
	// RevocationEndpoint is where such a provider takes tokens back (RFC 7009).
	RevocationEndpoint string `json:"revocation_endpoint,omitempty"`
	// Issuer is the provider's. With endpoints, or where the server names
	// another one than the provider itself does.
	Issuer string `json:"issuer,omitempty"`
	// Resource is what the server is called at the provider (RFC 8707).
	// Default: the upstream URL. Needed where that is an internal address.
	Resource string `json:"resource,omitempty"`
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
	// `access_type` or `prompt`.
	AuthorizeParams map[string]string `json:"authorize_params,omitempty"`
	// ScopeSeparator stands between scopes. Default: a space.
	ScopeSeparator string `json:"scope_separator,omitempty"`

	// Headers carry the keys that a person pastes, for `per_user_headers`.
	// Default: one key, as bearer token in `Authorization`.
	Headers []AuthHeader `json:"headers,omitempty"`
	// VerifyURL answers a GET with a 2xx status if the pasted keys are good.
	// Default: the server itself is asked.
	VerifyURL string `json:"verify_url,omitempty"`
}

// AuthHeader is a request header with a key that a person pastes.
type AuthHeader struct {
	Name string `json:"name"`
	// Prefix stands before the key, such as `Bearer ` with its space.
	Prefix string `json:"prefix,omitempty"`
	// Label is what people are asked for. Default: the name of the header.
	Label string `json:"label,omitempty"`
}

package accounts

// providerMetadata is what an authorization server says about itself (RFC 8414
// section 2, OpenID Connect Discovery section 3).
type providerMetadata struct {
	Issuer                   string   `json:"issuer"`
	AuthorizationEndpoint    string   `json:"authorization_endpoint"`
	TokenEndpoint            string   `json:"token_endpoint"`
	RegistrationEndpoint     string   `json:"registration_endpoint"`
	RevocationEndpoint       string   `json:"revocation_endpoint"`
	ScopesSupported          textList `json:"scopes_supported"`
	AuthMethods              textList `json:"token_endpoint_auth_methods_supported"`
	CodeChallengeMethods     textList `json:"code_challenge_methods_supported"`
	ClientDocuments          flag     `json:"client_id_metadata_document_supported"`
	AuthorizationResponseIss flag     `json:"authorization_response_iss_parameter_supported"`
}

// resourceMetadata is what a server says about itself (RFC 9728 section 2).
type resourceMetadata struct {
	Resource             string   `json:"resource"`
	AuthorizationServers textList `json:"authorization_servers"`
	ScopesSupported      textList `json:"scopes_supported"`
}

package authz

// Prefixes of the secrets this server issues. They let secret scanners find a
// leaked one, and keep one kind from being taken for another.
const (
	accessTokenPrefix       = "mcpat_"
	refreshTokenPrefix      = "mcprt_"
	codePrefix              = "mcpac_"
	clientSecretPrefix      = "mcpcs_"
	registrationTokenPrefix = "mcpreg_"
)

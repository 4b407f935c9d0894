package server

// Prefixes of the secrets of clients, see package authz/tokens.
const (
	clientSecretPrefix      = "mcpcs_"
	registrationTokenPrefix = "mcpreg_"
)

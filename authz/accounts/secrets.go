package accounts

import (
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
)

// secrets is what a connection seals: tokens of a provider, or pasted keys.
type secrets struct {
	AccessToken  string `json:"access_token,omitempty"`
	RefreshToken string `json:"refresh_token,omitempty"`
	// IssuedAt is when the access token came.
	IssuedAt time.Time `json:"issued_at,omitzero"`
	// Link says who issued the tokens, and to which client.
	Link link `json:"link,omitzero"`
	// Epoch is random and new whenever a person connects: in another one there
	// may be another account. Refreshing keeps it.
	Epoch string `json:"made,omitempty"`
	// Person is who connected it in a flow that is still pending.
	Person string `json:"person,omitempty"`
	// Reusable tells that the provider gave no new refresh token for this one
	// when it was last used, so it takes it any number of times.
	Reusable bool `json:"reusable,omitempty"`
	// RefreshParams are those that the provider took at the last refresh.
	RefreshParams client.RefreshParams `json:"refresh_params,omitzero"`
	// Persons is the ID of the connection that they had when they began, and
	// that this one replaces when the flow ends.
	Persons string `json:"persons,omitempty"`
	// Headers are the pasted keys.
	Headers []CredentialHeader `json:"headers,omitempty"`
}

// link is all that a later request to the provider depends on. It was found
// before the person left for the provider and stays with the tokens: whatever
// the server says later, they are sent nowhere else.
type link struct {
	// Origin is of the server that the credentials are for. They go nowhere else.
	Origin string `json:"origin"`
	// Provider is the issuer; where that is not known, the origin of TokenEndpoint.
	Provider           string   `json:"provider"`
	TokenEndpoint      string   `json:"token_endpoint"`
	RevocationEndpoint string   `json:"revocation_endpoint,omitempty"`
	ClientID           string   `json:"client_id"`
	AuthMethod         string   `json:"auth_method"`
	Resource           string   `json:"resource,omitempty"`
	Scopes             []string `json:"scopes,omitempty"` // as requested
}

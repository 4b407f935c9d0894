package tokens

import (
	"encoding/json"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// DetailType is the type of the authorization details (RFC 9396 section 2) that say
// which tools of MCP servers a person lets a client use.
const DetailType = "mcp_tools"

// Detail is one of them. A server of a token's audience of which there is none may be
// used with all of its tools, as far as its rules go.
type Detail struct {
	Type      string   `json:"type"`
	Locations []string `json:"locations"` // the resource
	// Tools may be used, and Without may not, by their names.
	Tools   []string `json:"tools,omitempty"`
	Without []string `json:"without,omitempty"`
	// Others is which of all others may be used: none, read_only or all.
	Others storage.Others `json:"others"`
	// Incomplete tells that there is no room for the names. Then more may be used than is
	// said, which introspection tells.
	Incomplete bool `json:"incomplete,omitempty"`
}

// DetailsOf returns what was chosen as authorization details.
func DetailsOf(chosen []storage.Choice) []Detail {
	var details []Detail
	for _, c := range chosen {
		details = append(details, Detail{
			Type: DetailType, Locations: []string{c.Resource}, Tools: c.Tools, Without: c.Without, Others: c.Others,
		})
	}
	return details
}

// maxDetails bounds what a token says: it travels in a header.
const maxDetails = 2 << 10

// detailsInToken is DetailsOf, as short as a token needs it. What is left out is narrower.
func detailsInToken(chosen []storage.Choice) []Detail {
	details := DetailsOf(chosen)
	if text, err := json.Marshal(details); err == nil && len(text) <= maxDetails {
		return details
	}
	for i := range details {
		d := &details[i]
		if len(d.Tools)+len(d.Without) > 0 {
			d.Tools, d.Without, d.Others, d.Incomplete = nil, nil, storage.NoOthers, true
		}
	}
	return details
}

// WithChosen returns the claims with what was chosen of the audience.
func (c Claims) WithChosen(chosen []storage.Choice) Claims {
	c.Details = detailsInToken(chosen)
	return c
}

package adminapi

import (
	"net/http"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/signing"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
)

// SigningKeysPath is where operators see and replace what sites sign with.
const SigningKeysPath = "/mcp_oauth/signing_keys"

var signingKeyRoutes = []route{{
	method: http.MethodGet, path: SigningKeysPath,
	about:  "The keys that are published at `/.well-known/jwks.json`, without what signs.",
	query:  []parameter{siteParameter},
	answer: SigningKeys{}, fails: []int{http.StatusNotFound}, serve: listSigningKeys,
}, {
	method: http.MethodDelete, path: SigningKeysPath,
	about:  "Has new ones made in place of all, for keys that leaked: whatever they signed is refused from then on.",
	query:  []parameter{siteParameter},
	answer: SigningKeys{}, fails: []int{http.StatusNotFound}, serve: renewSigningKeys,
}}

// SigningKey is a published key of a site as operators see it.
type SigningKey struct {
	Site string `json:"site"`
	signing.Overview
}

// SigningKeys are all that are published.
type SigningKeys struct {
	SigningKeys []SigningKey `json:"signing_keys"`
}

func listSigningKeys(c *call) (any, error) { return signingKeys(c, false) }

func renewSigningKeys(c *call) (any, error) { return signingKeys(c, true) }

func signingKeys(c *call, renew bool) (any, error) {
	_, sites, err := c.at(c.query.Get("site"))
	if err != nil {
		return nil, err
	}
	list, signing := SigningKeys{[]SigningKey{}}, false
	for _, s := range sites {
		keys := s.Server.Signing
		if keys == nil {
			continue
		}
		signing = true
		if renew {
			if err := keys.Renew(c.Context()); err != nil {
				return nil, failure(err)
			}
			s.Events.Record(c.Context(), event.Event{
				Kind: event.SigningKeysReplaced, By: event.ByOperator, Detail: "What they signed is refused by whoever verifies it.",
			})
		}
		all, err := keys.Overviews(c.Context())
		if err != nil {
			return nil, failure(err)
		}
		for _, o := range all {
			list.SigningKeys = append(list.SigningKeys, SigningKey{s.Issuer, o})
		}
	}
	if renew && !signing {
		return nil, apiError(http.StatusNotFound, "nothing is signed here, so there is no key to replace")
	}
	return list, nil
}

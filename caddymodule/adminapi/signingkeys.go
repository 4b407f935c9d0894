package adminapi

import (
	"net/http"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/signing"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
)

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
	operator, err := c.opened()
	if err != nil {
		return nil, err
	}
	list, named, sites := SigningKeys{[]SigningKey{}}, c.query.Get("site"), 0
	for _, s := range operator.Sites {
		keys := s.Server.Signing
		if keys == nil || named != "" && named != s.Issuer {
			continue
		}
		sites++
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
	if sites == 0 {
		return nil, apiError(http.StatusNotFound, "no such site signs anything")
	}
	return list, nil
}

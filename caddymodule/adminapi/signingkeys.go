package adminapi

import (
	"net/http"

	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/signing"
)

// SigningKey is a published key of a site as operators see it.
type SigningKey struct {
	Site string `json:"site"`
	signing.Overview
}

// signingKeys shows the published keys of the sites that sign anything, or makes
// new ones in their place; at all sites, or at the one that is named.
func (a API) signingKeys(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet && r.Method != http.MethodDelete {
		return apiError(http.StatusMethodNotAllowed, "use GET, or DELETE to have new ones made")
	}
	operator, err := a.opened()
	if err != nil {
		return err
	}
	list, named, sites := []SigningKey{}, r.URL.Query().Get("site"), 0
	for _, s := range operator.Sites {
		keys := s.Server.Signing
		if keys == nil || named != "" && named != s.Issuer {
			continue
		}
		sites++
		if r.Method == http.MethodDelete {
			if err := keys.Renew(r.Context()); err != nil {
				return failure(err)
			}
			operator.Log.Warn("an operator had the signing keys of a site replaced; what they signed is refused by whoever verifies it", zap.String("site", s.Issuer))
		}
		all, err := keys.Overviews(r.Context())
		if err != nil {
			return failure(err)
		}
		for _, o := range all {
			list = append(list, SigningKey{s.Issuer, o})
		}
	}
	if sites == 0 {
		return apiError(http.StatusNotFound, "no such site signs anything")
	}
	return writeJSON(w, map[string]any{"signing_keys": list})
}

package adminapi

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
)

// Registration is a dynamic registration of a site at a provider as
// operators see it.
type Registration struct {
	Site      string    `json:"site"`
	Server    string    `json:"server"`
	Provider  string    `json:"provider"`
	ClientID  string    `json:"client_id,omitempty"` // none: the next person to connect gets a new one
	Former    int       `json:"former,omitempty"`    // kept for the connections made with them
	ChangedAt time.Time `json:"changed_at"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

func (a API) listRegistrations(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet {
		return apiError(http.StatusMethodNotAllowed, "use GET, or DELETE …/registrations/{server}")
	}
	list := []Registration{}
	for _, s := range a.connecting() {
		all, err := s.Accounts.Registrations(r.Context())
		if err != nil {
			return failure(err)
		}
		for _, o := range all {
			list = append(list, Registration{
				Site: s.Issuer, Server: o.Server, Provider: o.Provider, ClientID: o.ClientID,
				Former: o.Former, ChangedAt: o.ChangedAt, ExpiresAt: o.ExpiresAt,
			})
		}
	}
	return writeJSON(w, map[string]any{"registrations": list})
}

// dropRegistration has the next person who connects a server get a new
// registration at its provider; at all sites, or at the one that is named.
func (a API) dropRegistration(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodDelete {
		return apiError(http.StatusMethodNotAllowed, "use DELETE, or GET …/registrations")
	}
	server, named := strings.TrimPrefix(r.URL.Path, registrationsPath+"/"), r.URL.Query().Get("site")
	dropped := 0
	for _, s := range a.connecting() {
		if named != "" && named != s.Issuer {
			continue
		}
		err := s.Accounts.RetireRegistrations(r.Context(), server)
		if errors.Is(err, accounts.ErrUnknownRegistration) {
			continue
		}
		if err != nil {
			return failure(err)
		}
		dropped++
	}
	if dropped == 0 {
		return apiError(http.StatusNotFound, "no site has a dynamic registration for a server of this id")
	}
	return writeJSON(w, map[string]any{"server": server, "sites": dropped})
}

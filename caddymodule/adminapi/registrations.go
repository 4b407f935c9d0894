package adminapi

import (
	"errors"
	"net/http"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
)

const registrationsPath = "/mcp_oauth/registrations"

var registrationRoutes = []route{{
	method: http.MethodGet, path: registrationsPath,
	about:  "What the sites registered themselves as at providers.",
	answer: Registrations{}, serve: listRegistrations,
}, {
	method: http.MethodDelete, path: registrationsPath + "/{server}",
	about:  "Has the next person who connects the server get a new registration; what is connected stays so.",
	query:  []parameter{siteParameter},
	answer: DroppedRegistration{}, fails: []int{http.StatusNotFound}, serve: dropRegistration,
}}

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

// Registrations are all of them.
type Registrations struct {
	Registrations []Registration `json:"registrations"`
}

// DroppedRegistration says where a registration was dropped.
type DroppedRegistration struct {
	Server string `json:"server"`
	Sites  int    `json:"sites"` // how many sites had one
}

func listRegistrations(c *call) (any, error) {
	list := Registrations{[]Registration{}}
	for _, s := range c.connecting() {
		all, err := s.Accounts.Registrations(c.Context())
		if err != nil {
			return nil, failure(err)
		}
		for _, o := range all {
			list.Registrations = append(list.Registrations, Registration{
				Site: s.Issuer, Server: o.Server, Provider: o.Provider, ClientID: o.ClientID,
				Former: o.Former, ChangedAt: o.ChangedAt, ExpiresAt: o.ExpiresAt,
			})
		}
	}
	return list, nil
}

func dropRegistration(c *call) (any, error) {
	dropped, named := DroppedRegistration{Server: c.named["server"]}, c.query.Get("site")
	for _, s := range c.connecting() {
		if named != "" && named != s.Issuer {
			continue
		}
		err := s.Accounts.RetireRegistrations(c.Context(), dropped.Server)
		if errors.Is(err, accounts.ErrUnknownRegistration) {
			continue
		}
		if err != nil {
			return nil, failure(err)
		}
		dropped.Sites++
	}
	if dropped.Sites == 0 {
		return nil, apiError(http.StatusNotFound, "no site has a dynamic registration for a server of this id")
	}
	return dropped, nil
}

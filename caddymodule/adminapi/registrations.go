package adminapi

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
)

const RegistrationsPath = "/mcp_oauth/registrations"

var registrationRoutes = []route{{
	method: http.MethodGet, path: RegistrationsPath,
	about:  "What the sites registered themselves as at providers, dynamically.",
	query:  []parameter{siteParameter, serverParameter, limitParameter, afterParameter},
	answer: Registrations{}, fails: []int{http.StatusNotFound}, serve: listRegistrations,
}, {
	method: http.MethodDelete, path: RegistrationsPath + "/{server}",
	about:  "Has the next person who connects the server get a new registration; what is connected stays so.",
	query:  []parameter{siteParameter},
	answer: DroppedRegistration{}, fails: []int{http.StatusNotFound}, serve: dropRegistration,
}}

// Registration is what a site is known as at the provider of a server, where it
// registered itself.
type Registration struct {
	Site      string    `json:"site"`
	Server    string    `json:"server"`              // the id of the server
	Provider  string    `json:"provider"`            // the issuer of its authorization server
	ClientID  string    `json:"client_id,omitempty"` // none if the next person to connect gets a new one
	Former    int       `json:"former,omitempty"`    // how many earlier ones are kept for the connections made with them
	ChangedAt time.Time `json:"changed_at"`
	ExpiresAt time.Time `json:"expires_at,omitzero"` // if the provider said
}

// Registrations are a page of registrations.
type Registrations struct {
	Registrations []Registration `json:"registrations"`
	Next          string         `json:"next,omitempty"` // the `after` to go on with; none after the last
}

// DroppedRegistration says where a registration was dropped.
type DroppedRegistration struct {
	Server string `json:"server"`
	Sites  int    `json:"sites"` // how many sites had one
}

func listRegistrations(c *call) (any, error) {
	server := c.query.Get("server")
	_, sites, err := c.connectingAt(c.query.Get("site"))
	if err != nil {
		return nil, err
	}
	var list Registrations
	list.Registrations, list.Next, err = page(c, sites, func(s *Site, after string, limit int) ([]Registration, string, error) {
		found, err := s.Accounts.Registrations(c.Context())
		if err != nil {
			return nil, "", err
		}
		all := make([]Registration, len(found))
		for i, o := range found {
			all[i] = Registration{
				Site: s.Issuer, Server: o.Server, Provider: o.Provider, ClientID: o.ClientID,
				Former: o.Former, ChangedAt: o.ChangedAt, ExpiresAt: o.ExpiresAt,
			}
		}
		return part(all, after, limit)
	}, func(one *Registration) bool { return server == "" || one.Server == server })
	if err == nil {
		err = c.checkServer(len(list.Registrations))
	}
	return list, err
}

func dropRegistration(c *call) (any, error) {
	dropped := DroppedRegistration{Server: c.named["server"]}
	_, sites, err := c.connectingAt(c.query.Get("site"))
	if err != nil {
		return nil, err
	}
	for _, s := range sites {
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
		if err := c.hasServer(dropped.Server); err != nil {
			return nil, err
		}
		return nil, apiError(http.StatusNotFound, "no site registered itself, dynamically, for server "+strconv.Quote(dropped.Server))
	}
	return dropped, nil
}

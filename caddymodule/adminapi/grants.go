package adminapi

import (
	"net/http"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const grantsPath = "/mcp_oauth/grants"

var grantRoutes = []route{{
	method: http.MethodGet, path: grantsPath,
	about:  "Valid grants, by id: what people approved for a client. With `subject`, all grants of that person.",
	query:  []parameter{subjectParameter, limitParameter, afterParameter},
	answer: Grants{}, serve: listGrants,
}, {
	method: http.MethodDelete, path: grantsPath,
	about:  "Ends all grants of a person, at all sites of the running configuration.",
	query:  []parameter{{name: "subject", required: true, about: "Whose grants shall end, as `virtual_key:alice`."}},
	answer: EndedGrants{}, serve: endGrants,
}, {
	method: http.MethodDelete, path: grantsPath + "/{id}",
	about:  "Ends one: its tokens at once, its open streams within seconds.",
	answer: EndedGrants{}, fails: []int{http.StatusNotFound}, serve: endGrant,
}}

// Grant is a grant as operators see it.
type Grant struct {
	ID         string    `json:"id"`
	Site       string    `json:"site"`
	ClientID   string    `json:"client_id"`
	ClientName string    `json:"client_name,omitempty"` // what the client calls itself
	Subject    string    `json:"subject"`
	Scopes     []string  `json:"scopes"`
	Resources  []string  `json:"resources"`
	CreatedAt  time.Time `json:"created_at"`
	LastUsedAt time.Time `json:"last_used_at"` // the last issue of a token
	ExpiresAt  time.Time `json:"expires_at"`
}

// Grants are a page of grants.
type Grants struct {
	Grants []Grant `json:"grants"`
	Next   string  `json:"next,omitempty"` // the `after` to go on with; none after the last
}

// EndedGrants are those that stood and were ended.
type EndedGrants struct {
	Ended []string `json:"ended"` // their ids
}

func describeGrants(grants []storage.Grant, next string) Grants {
	list := Grants{Grants: make([]Grant, len(grants)), Next: next}
	for i, g := range grants {
		list.Grants[i] = Grant{
			ID: g.ID, Site: g.Issuer, ClientID: g.ClientID, ClientName: g.ClientName, Subject: g.Identity.Subject,
			Scopes: g.Scope, Resources: g.Resources,
			CreatedAt: g.CreatedAt, LastUsedAt: g.LastUsedAt, ExpiresAt: g.ExpiresAt,
		}
	}
	return list
}

func listGrants(c *call) (any, error) {
	operator, err := c.opened()
	if err != nil {
		return nil, err
	}
	var grants []storage.Grant
	var next string
	if subject := c.query.Get("subject"); subject != "" {
		grants, err = operator.grantsOf(c.Context(), subject)
	} else {
		grants, next, err = operator.Store.Grants(c.Context(), c.query.Get("after"), c.limit(), time.Now())
	}
	if err != nil {
		return nil, failure(err)
	}
	return describeGrants(grants, next), nil
}

func endGrants(c *call) (any, error) {
	operator, err := c.opened()
	if err != nil {
		return nil, err
	}
	ended, err := operator.endGrantsOf(c.Context(), c.query.Get("subject"))
	if err != nil {
		return nil, failure(err)
	}
	return EndedGrants{append([]string{}, ended...)}, nil
}

func endGrant(c *call) (any, error) {
	operator, err := c.opened()
	if err != nil {
		return nil, err
	}
	ended, err := operator.endGrant(c.Context(), c.named["id"])
	if err != nil {
		return nil, failure(err)
	}
	if len(ended) == 0 {
		return nil, apiError(http.StatusNotFound, "no such grant")
	}
	return EndedGrants{ended}, nil
}

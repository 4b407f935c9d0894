package adminapi

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const GrantsPath = "/mcp_oauth/grants"

var grantRoutes = []route{{
	method: http.MethodGet, path: GrantsPath,
	about:  "Valid grants: what people approved for a client.",
	query:  []parameter{siteParameter, subjectParameter, clientParameter, serverParameter, limitParameter, afterParameter},
	answer: Grants{}, fails: []int{http.StatusNotFound}, serve: listGrants,
}, {
	method: http.MethodDelete, path: GrantsPath,
	about: "Ends all grants of a person or of a client, at all sites of the running configuration or at one. If it fails half " +
		"way, asking again ends the others.",
	query:  []parameter{siteParameter, subjectParameter, clientParameter},
	answer: EndedGrants{}, fails: []int{http.StatusNotFound}, serve: endGrants,
}, {
	method: http.MethodGet, path: GrantsPath + "/{id}",
	about:  "One of them.",
	answer: Grant{}, fails: []int{http.StatusNotFound}, serve: showGrant,
}, {
	method: http.MethodDelete, path: GrantsPath + "/{id}",
	about:  "Ends one: its tokens at once, its open streams within seconds.",
	answer: EndedGrants{}, fails: []int{http.StatusNotFound}, serve: endGrant,
}}

// Grant is what a person approved for a client.
type Grant struct {
	ID         string    `json:"id"`
	Site       string    `json:"site"` // its public URL
	ClientID   string    `json:"client_id"`
	ClientName string    `json:"client_name,omitempty"` // what the client calls itself
	Subject    string    `json:"subject"`               // who approved it
	Scopes     []string  `json:"scopes"`
	Resources  []string  `json:"resources"` // the URLs of the servers that it is good for
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

func describeGrant(g storage.Grant) Grant {
	return Grant{
		ID: g.ID, Site: g.Issuer, ClientID: g.ClientID, ClientName: g.ClientName, Subject: g.Identity.Subject,
		Scopes: append([]string{}, g.Scope...), Resources: append([]string{}, g.Resources...),
		CreatedAt: g.CreatedAt, LastUsedAt: g.LastUsedAt, ExpiresAt: g.ExpiresAt,
	}
}

func describeGrants(grants []storage.Grant) []Grant {
	all := make([]Grant, len(grants))
	for i, g := range grants {
		all[i] = describeGrant(g)
	}
	return all
}

func listGrants(c *call) (any, error) {
	operator, sites, err := c.grantsAt()
	if err != nil {
		return nil, err
	}
	named, subject, client, server := c.query.Get("site"), c.query.Get("subject"), c.query.Get("client"), c.query.Get("server")
	resources := resourcesOf(sites, server)
	meant := func(g *Grant) bool {
		return (named == "" || g.Site == named) && (client == "" || g.ClientID == client) &&
			(server == "" || slices.ContainsFunc(g.Resources, func(r string) bool { return slices.Contains(resources, r) }))
	}
	var list Grants
	store := operator.Store
	if subject == "" && client == "" {
		list.Grants, list.Next, err = filtered(c, func(after string, limit int) ([]Grant, string, error) {
			found, next, err := store.Grants(c.Context(), after, limit, time.Now())
			return describeGrants(found), next, err
		}, meant)
	} else {
		list.Grants, list.Next, err = page(c, sites, func(s *Site, after string, limit int) ([]Grant, string, error) {
			if subject == "" {
				found, next, err := store.GrantsOfClient(c.Context(), s.Issuer, client, after, limit, time.Now())
				return describeGrants(found), next, err
			}
			found, err := store.GrantsOf(c.Context(), s.Issuer, subject, time.Now())
			if err != nil {
				return nil, "", err
			}
			return part(describeGrants(found), after, limit)
		}, meant)
	}
	if err == nil {
		err = c.checkServer(len(list.Grants))
	}
	return list, err
}

// grantsAt returns the sites that a request about grants means.
func (c *call) grantsAt() (*Operator, []*Site, error) {
	if err := c.checkSubject(c.query.Get("subject")); err != nil {
		return nil, nil, err
	}
	return c.at(c.query.Get("site"))
}

// resourcesOf returns the public URLs of a server at the sites that have it.
func resourcesOf(sites []*Site, id string) (urls []string) {
	for _, s := range sites {
		if server := s.Server.Config().Server(id); server != nil {
			urls = append(urls, server.Resource)
		}
	}
	return urls
}

func showGrant(c *call) (any, error) {
	operator, err := c.opened()
	if err != nil {
		return nil, err
	}
	g, err := operator.Store.Grant(c.Context(), c.named["id"], time.Now())
	if errors.Is(err, storage.ErrNotFound) || err == nil && !g.RevokedAt.IsZero() {
		return nil, noGrant(c.named["id"])
	}
	if err != nil {
		return nil, failure(err)
	}
	return describeGrant(g), nil
}

// endGrants ends the grants of a person or of a client. If it fails half way, asking
// again ends the others.
func endGrants(c *call) (any, error) {
	subject, client := c.query.Get("subject"), c.query.Get("client")
	if (subject == "") == (client == "") {
		return nil, apiError(http.StatusBadRequest, "say whose grants shall end, with subject, or of which application, with client")
	}
	operator, sites, err := c.grantsAt()
	if err != nil {
		return nil, err
	}
	ended := EndedGrants{[]string{}}
	for _, s := range sites {
		for next := ""; ; {
			var grants []storage.Grant
			if subject != "" {
				grants, err = operator.Store.GrantsOf(c.Context(), s.Issuer, subject, time.Now())
			} else {
				grants, next, err = operator.Store.GrantsOfClient(c.Context(), s.Issuer, client, next, maxLimit, time.Now())
			}
			if err != nil {
				return nil, failure(err)
			}
			for _, g := range grants {
				ids, err := operator.endGrant(c.Context(), g.ID)
				if err != nil {
					return nil, failure(err)
				}
				ended.Ended = append(ended.Ended, ids...)
			}
			if next == "" {
				break
			}
		}
	}
	return ended, nil
}

func noGrant(id string) error {
	return apiError(http.StatusNotFound, "there is no valid grant "+strconv.Quote(id))
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
		return nil, noGrant(c.named["id"])
	}
	return EndedGrants{ended}, nil
}

package adminapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/clients"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const ClientsPath = "/mcp_oauth/clients"

var clientRoutes = []route{{
	method: http.MethodGet, path: ClientsPath,
	about: "Clients: those of the configuration, then those that registered themselves, by id. Clients with a metadata document " +
		"are not stored, and not listed; their grants are.",
	query: []parameter{siteParameter, {
		name: "origin", kind: choiceKind, about: "How the site came to know it.",
		choices: []string{string(clients.Preregistered), string(clients.Registered)},
	}, {
		name: "used", kind: choiceKind, choices: []string{"true", "false"}, about: "Whether a person approved it.",
	}, limitParameter, afterParameter},
	answer: Clients{}, fails: []int{http.StatusNotFound}, serve: listClients,
}, {
	method: http.MethodGet, path: ClientsPath + "/{id}",
	about:  "One of them or, if somebody approved it, one with a metadata document, whose URL is the id.",
	answer: Client{}, fails: []int{http.StatusNotFound}, serve: showClient,
}, {
	method: http.MethodDelete, path: ClientsPath + "/{id}",
	about:  "Removes a registration, and ends its grants with their tokens. The application can register itself anew.",
	answer: DeletedClient{}, fails: []int{http.StatusNotFound, http.StatusConflict}, serve: deleteClient,
}}

// Client is an application that signs people in here.
type Client struct {
	ID     string         `json:"id"`
	Site   string         `json:"site"`   // its public URL
	Origin clients.Origin `json:"origin"` // how the site came to know it
	// Name is what it calls itself, unless the operator says so in the configuration.
	Name         string    `json:"name,omitempty"`
	RedirectURIs []string  `json:"redirect_uris,omitempty"`
	Used         bool      `json:"used"`                // a person approved it at least once
	CreatedAt    time.Time `json:"created_at,omitzero"` // when it registered itself
	ExpiresAt    time.Time `json:"expires_at,omitzero"` // when its registration is forgotten, unless it is used
}

// Clients are a page of clients.
type Clients struct {
	Clients []Client `json:"clients"`
	Next    string   `json:"next,omitempty"` // the `after` to go on with; none after the last
}

// DeletedClient is a registration that was removed.
type DeletedClient struct {
	ID     string   `json:"id"`
	Site   string   `json:"site"`
	Grants []string `json:"grants"` // ids of those that ended with it
}

// registeredPlace begins the place of a page in the registered clients; before them
// are those of the configuration, by number.
const registeredPlace = "registered "

func listClients(c *call) (any, error) {
	operator, sites, err := c.at(c.query.Get("site"))
	if err != nil {
		return nil, err
	}
	issuers, configured := issuersOf(sites), configuredClients(sites)
	origin, used := clients.Origin(c.query.Get("origin")), c.query.Get("used")
	var list Clients
	list.Clients, list.Next, err = filtered(c, func(after string, limit int) ([]Client, string, error) {
		after, registered := strings.CutPrefix(after, registeredPlace)
		if !registered {
			some, next, err := part(configured, after, limit)
			if err == nil && next == "" {
				next = registeredPlace
			}
			return some, next, err
		}
		found, next, err := operator.Store.Clients(c.Context(), after, limit, time.Now())
		if next != "" {
			next = registeredPlace + next
		}
		return describeClients(found), next, err
	}, func(one *Client) bool {
		return slices.Contains(issuers, one.Site) && (origin == "" || one.Origin == origin) && (used == "" || strconv.FormatBool(one.Used) == used)
	})
	return list, err
}

func configuredClients(sites []*Site) (all []Client) {
	for _, s := range sites {
		for _, c := range s.Server.Config().Clients {
			all = append(all, Client{ID: c.ID, Site: s.Issuer, Origin: clients.Preregistered, Name: c.Name, RedirectURIs: c.RedirectURIs})
		}
	}
	return all
}

func describeClients(found []storage.Client) []Client {
	all := make([]Client, len(found))
	for i, c := range found {
		all[i] = describeClient(c)
	}
	return all
}

func describeClient(c storage.Client) Client {
	var m oauth.ClientMetadata
	_ = json.Unmarshal(c.Metadata, &m) // it is what we wrote; a damaged one is shown without
	return Client{
		ID: c.ID, Site: c.Issuer, Origin: clients.Registered, Name: m.ClientName, RedirectURIs: m.RedirectURIs,
		Used: c.Used || !c.ApprovedAt.IsZero(), CreatedAt: c.CreatedAt, ExpiresAt: c.ExpiresAt,
	}
}

func showClient(c *call) (any, error) {
	operator, sites, err := c.at("")
	if err != nil {
		return nil, err
	}
	found, err := operator.findClient(c.Context(), sites, c.named["id"])
	return found, err
}

// findClient returns a client, whatever its origin.
func (o *Operator) findClient(ctx context.Context, sites []*Site, id string) (Client, error) {
	configured := configuredClients(sites)
	if i := slices.IndexFunc(configured, func(c Client) bool { return c.ID == id }); i >= 0 {
		return configured[i], nil
	}
	registered, err := o.Store.Client(ctx, id, time.Now())
	if err == nil && slices.Contains(issuersOf(sites), registered.Issuer) {
		return describeClient(registered), nil
	}
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return Client{}, failure(err)
	}
	for _, s := range sites {
		grants, _, err := o.Store.GrantsOfClient(ctx, s.Issuer, id, "", 1, time.Now())
		if err != nil {
			return Client{}, failure(err)
		}
		if len(grants) > 0 {
			return Client{ID: id, Site: s.Issuer, Origin: clients.MetadataDocument, Name: grants[0].ClientName, Used: true}, nil
		}
	}
	return Client{}, apiError(http.StatusNotFound, "there is no client "+strconv.Quote(id))
}

func deleteClient(c *call) (any, error) {
	operator, sites, err := c.at("")
	if err != nil {
		return nil, err
	}
	found, err := operator.findClient(c.Context(), sites, c.named["id"])
	if err != nil {
		return nil, err
	}
	switch found.Origin {
	case clients.Preregistered:
		return nil, apiError(http.StatusConflict, strconv.Quote(found.ID)+" is a client of the configuration; remove it there, or end its grants")
	case clients.MetadataDocument:
		return nil, apiError(http.StatusConflict, strconv.Quote(found.ID)+" has a metadata document and no registration here; end its grants")
	}
	revocation, err := operator.Store.DeleteClient(c.Context(), found.ID, time.Now())
	if err != nil {
		return nil, failure(err)
	}
	operator.Tokens.Forget(revocation)
	operator.Events.Record(c.Context(), event.Event{Kind: event.ClientDeleted, By: event.ByOperator, Client: found.ID, Count: len(revocation.GrantIDs)})
	return DeletedClient{ID: found.ID, Site: found.Site, Grants: append([]string{}, revocation.GrantIDs...)}, nil
}

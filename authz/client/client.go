package client

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
)

// Client makes the requests of an OAuth client about one thing: an MCP server
// and its provider, or a provider that people sign in with. It may be copied,
// and is safe for concurrent use.
type Client struct {
	// Name is what messages for the operator call it, such as "server notion".
	Name string
	// Guarded reaches what servers and providers name.
	Guarded *egress.Client
	// Operator reaches the origins of Configured, wherever they are.
	Operator *egress.Client
	// Configured are the URLs that the operator's configuration names. They
	// may be empty.
	Configured []string
	// Profile is what the provider may know of us.
	Profile Profile
	Quirks  Quirks
	Now     func() time.Time
}

// reach returns the HTTP client for a request to a URL: the operator's own for
// the origins that the configuration names, else the guarded one.
func (c *Client) reach(u *url.URL) *egress.Client {
	target := origin(u)
	for _, named := range c.Configured {
		if named != "" && Origin(named) == target {
			return c.Operator
		}
	}
	return c.Guarded
}

// FetchJSON gets a JSON document that the configuration or the provider named, with
// an access token unless that is empty.
func (c *Client) FetchJSON(ctx context.Context, rawURL, accessToken string, limit int64) (*egress.Document, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, egress.ErrURL
	}
	authorization := ""
	if accessToken != "" {
		authorization = "Bearer " + accessToken
	}
	return c.reach(u).FetchJSONAs(ctx, rawURL, authorization, limit)
}

// CheckEndpoint judges an endpoint that we will call. Its address is judged
// again when it is dialled.
func (c *Client) CheckEndpoint(endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil || strings.Contains(endpoint, "#") {
		return errors.New("malformed") // no fragment: RFC 6749 section 3.2
	}
	return c.reach(u).CheckURL(u)
}

// CheckAuthorizationEndpoint judges the address that a browser is sent to:
// https, or http where we would go ourselves, and never a scheme that a
// browser runs instead of visiting.
func (c *Client) CheckAuthorizationEndpoint(endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Opaque != "" || strings.Contains(endpoint, "#") {
		return errors.New("malformed")
	}
	if u.Scheme == "https" {
		return nil
	}
	return c.reach(u).CheckURL(u)
}

package adminapi

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/initialtokens"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

const InitialTokensPath = "/mcp_oauth/initial_access_tokens"

var initialTokenRoutes = []route{{
	method: http.MethodGet, path: InitialTokensPath,
	about:  "Initial access tokens that were made here and are good: whoever has one may register a client.",
	query:  []parameter{siteParameter},
	answer: InitialTokens{}, fails: []int{http.StatusNotFound}, serve: listInitialTokens,
}, {
	method: http.MethodPost, path: InitialTokensPath,
	about: "Makes one, and shows it this once.",
	query: []parameter{siteParameter}, body: NewInitialToken{},
	answer: InitialToken{}, status: http.StatusCreated, fails: []int{http.StatusNotFound, http.StatusConflict}, serve: createInitialToken,
}, {
	method: http.MethodDelete, path: InitialTokensPath + "/{name}",
	about:  "Ends it. Clients that registered with it stay registered.",
	query:  []parameter{siteParameter},
	answer: DeletedInitialToken{}, fails: []int{http.StatusNotFound, http.StatusConflict}, serve: deleteInitialToken,
}}

// InitialToken lets whoever has it register a client (RFC 7591).
type InitialToken struct {
	Site      string    `json:"site"` // its public URL
	Name      string    `json:"name"`
	Token     string    `json:"token,omitempty"` // what its holder sends; there once, when it was made
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	// UsesLeft is how many registrations it is still good for; absent for any number.
	UsesLeft *int `json:"uses_left,omitempty"`
}

// InitialTokens are all that are good.
type InitialTokens struct {
	InitialTokens []InitialToken `json:"initial_access_tokens"`
}

// NewInitialToken is what an operator wants of a token that is made.
type NewInitialToken struct {
	Name string `json:"name"` // it keeps it
	// ExpiresAt is when it ends; null, or left out, means never.
	ExpiresAt given[time.Time] `json:"expires_at"`
	// ExpiresIn says the same as a duration, such as `90d` or `12h`.
	ExpiresIn given[string] `json:"expires_in"`
	// Uses is how many clients may register with it; null, or left out, means any
	// number.
	Uses given[*int] `json:"uses"`
}

// DeletedInitialToken is a token that was ended.
type DeletedInitialToken struct {
	Site string `json:"site"`
	Name string `json:"name"`
}

const wrongTokenTypes = `name is a text, expires_at a time such as "2027-01-31T00:00:00Z" or null, expires_in a duration such as "90d", uses a number or null`

func describeInitialToken(site string, t initialtokens.Token) InitialToken {
	return InitialToken{Site: site, Name: t.Name, CreatedAt: t.CreatedAt, ExpiresAt: t.ExpiresAt, UsesLeft: t.Uses}
}

func listInitialTokens(c *call) (any, error) {
	_, sites, err := c.at(c.query.Get("site"))
	if err != nil {
		return nil, err
	}
	list := InitialTokens{[]InitialToken{}}
	for _, s := range sites {
		all, err := s.Server.InitialTokens.List(c.Context())
		if err != nil {
			return nil, failure(err)
		}
		for _, t := range all {
			list.InitialTokens = append(list.InitialTokens, describeInitialToken(s.Issuer, t))
		}
	}
	return list, nil
}

// until returns when the token ends, as it was asked for.
func (r *NewInitialToken) until() (time.Time, error) {
	switch {
	case r.ExpiresAt.there && r.ExpiresIn.there:
		return time.Time{}, apiError(http.StatusBadRequest, "expires_at and expires_in say the same; send one of them")
	case r.ExpiresIn.there:
		in, err := config.ParseDuration(r.ExpiresIn.value)
		if err != nil || in <= 0 {
			return time.Time{}, apiError(http.StatusBadRequest, `expires_in is a duration, such as "90d" or "12h"`)
		}
		return time.Now().Add(in), nil
	}
	return r.ExpiresAt.value, nil
}

func createInitialToken(c *call) (any, error) {
	var request NewInitialToken
	if err := c.read(&request, wrongTokenTypes); err != nil {
		return nil, err
	}
	until, err := request.until()
	if err != nil {
		return nil, err
	}
	uses := 0
	if given := request.Uses.value; given != nil {
		if uses = *given; uses < 1 {
			return nil, apiError(http.StatusBadRequest, "uses is how many clients may register with it, at least 1; leave it out for any number")
		}
	}
	s, err := c.registering()
	if err != nil {
		return nil, err
	}
	if r := s.Server.Config().Registration; !*r.Dynamic || !r.NeedsToken() {
		return nil, apiError(http.StatusConflict, s.Issuer+" does not ask for an initial access token: clients register without one, or not at all; write `registration { initial_access_token required }` first")
	}
	t, secret, err := s.Server.InitialTokens.Create(c.Context(), request.Name, until, uses)
	if err != nil {
		return nil, initialTokenFailure(err)
	}
	answer := describeInitialToken(s.Issuer, t)
	answer.Token = secret
	return answer, nil
}

// registering returns the one site that is meant.
func (c *call) registering() (*Site, error) {
	_, sites, err := c.at(c.query.Get("site"))
	if err == nil && len(sites) != 1 {
		err = apiError(http.StatusConflict, "there are several sites; name one with ?site=, of: "+strings.Join(issuersOf(sites), ", "))
	}
	if err != nil {
		return nil, err
	}
	return sites[0], nil
}

func deleteInitialToken(c *call) (any, error) {
	s, err := c.registering()
	if err != nil {
		return nil, err
	}
	if err := s.Server.InitialTokens.Delete(c.Context(), c.named["name"]); err != nil {
		return nil, initialTokenFailure(err)
	}
	return DeletedInitialToken{Site: s.Issuer, Name: c.named["name"]}, nil
}

func initialTokenFailure(err error) error {
	var refused *initialtokens.Refused
	switch {
	case errors.Is(err, initialtokens.ErrUnknown):
		return apiError(http.StatusNotFound, "there is no initial access token of this name that is good")
	case errors.As(err, &refused) && refused.Conflict:
		return apiError(http.StatusConflict, refused.Text)
	case errors.As(err, &refused):
		return apiError(http.StatusBadRequest, refused.Text)
	}
	return failure(err)
}

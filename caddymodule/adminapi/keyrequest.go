package adminapi

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/virtualkeys"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// NewKey is what an operator wants of a key that is made.
type NewKey struct {
	Name string `json:"name"` // it keeps it
	KeyChange
}

// KeyChange is what an operator wants of a key. What is left out stays as it is.
type KeyChange struct {
	// Servers are the ids of those it is good for; null means all.
	Servers given[[]string] `json:"servers"`
	// ExpiresAt is when it ends; null means never.
	ExpiresAt given[time.Time] `json:"expires_at"`
	// ExpiresIn says the same as a duration, such as `90d` or `12h`.
	ExpiresIn given[string] `json:"expires_in"`
	// Disabled tells that it is good for nothing until it is enabled again.
	Disabled given[*bool] `json:"disabled"`
}

// KeyRotation says how a key is replaced.
type KeyRotation struct {
	// Overlap is how long the key before stays good: a duration, such as `24h`,
	// which is the default, or `0s`.
	Overlap given[string] `json:"overlap"`
}

// given is a member of a request that may not be there. There it may be null.
type given[T any] struct {
	there bool
	value T
}

// UnmarshalJSON implements json.Unmarshaler.
func (g *given[T]) UnmarshalJSON(data []byte) error {
	g.there = true
	return json.Unmarshal(data, &g.value)
}

// change returns what was asked for.
func (r *KeyChange) change() (c virtualkeys.Change, err error) {
	if r.Servers.there {
		c.Servers = &r.Servers.value
	}
	if r.Disabled.there {
		if c.Disabled = r.Disabled.value; c.Disabled == nil { // null must not enable what was disabled
			return c, apiError(http.StatusBadRequest, "a member has the wrong type; "+wrongTypes)
		}
	}
	switch {
	case r.ExpiresAt.there && r.ExpiresIn.there:
		return c, apiError(http.StatusBadRequest, "expires_at and expires_in say the same; send one of them")
	case r.ExpiresAt.there:
		c.ExpiresAt = &r.ExpiresAt.value
	case r.ExpiresIn.there:
		in, err := config.ParseDuration(r.ExpiresIn.value)
		if err != nil || in <= 0 {
			return c, apiError(http.StatusBadRequest, `expires_in is a duration, such as "90d" or "12h"`)
		}
		at := time.Now().Add(in)
		c.ExpiresAt = &at
	}
	return c, nil
}

const wrongTypes = `servers is a list of ids or null, expires_at a time such as "2027-01-31T00:00:00Z" or null, ` +
	`expires_in and overlap a duration such as "90d", disabled true or false`

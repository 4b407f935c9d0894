package adminapi

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/virtualkeys"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/strictjson"
)

const maxKeyRequest = 64 << 10

// keyRequest is what an operator wants of a key that is made or changed.
type keyRequest struct {
	Name      string           `json:"name"` // of a new one
	Servers   given[[]string]  `json:"servers"`
	ExpiresAt given[time.Time] `json:"expires_at"`
	ExpiresIn given[string]    `json:"expires_in"`
	Disabled  given[*bool]     `json:"disabled"`
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
func (r *keyRequest) change() (c virtualkeys.Change, err error) {
	if r.Servers.there {
		c.Servers = &r.Servers.value
	}
	if r.Disabled.there {
		if c.Disabled = r.Disabled.value; c.Disabled == nil { // null must not enable what was disabled
			return c, apiError(http.StatusBadRequest, wrongTypes)
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

// keyRequestIn reads a request with JSON, which may be left out, and the query.
// The type is asked for, so that no web page can send it without being asked first.
func keyRequestIn(r *http.Request, to any) (url.Values, error) {
	query, err := queryOf(r, "site")
	if err != nil {
		return nil, err
	}
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
		return nil, apiError(http.StatusUnsupportedMediaType, "send JSON, with the header Content-Type: application/json")
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxKeyRequest+1))
	if err != nil {
		return nil, apiError(http.StatusBadRequest, "the request could not be read")
	}
	if len(bytes.TrimSpace(body)) == 0 {
		body = []byte("{}")
	}
	if err := strictjson.Check(body, maxKeyRequest); err != nil {
		return nil, apiError(http.StatusBadRequest, "send one JSON object, each member once")
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(to); err != nil {
		return nil, apiError(http.StatusBadRequest, explainJSON(err))
	}
	return query, nil
}

// explainJSON says what is wrong with a request, without its values.
func explainJSON(err error) string {
	if text, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return "there is no member " + text + "; use name, servers, expires_at, expires_in, disabled, or overlap to rotate"
	}
	return wrongTypes
}

const wrongTypes = `a member has the wrong type; servers is a list of ids or null, expires_at a time such as "2027-01-31T00:00:00Z" or null, ` +
	`expires_in and overlap a duration such as "90d", disabled true or false`

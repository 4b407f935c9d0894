package adminapi

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/virtualkeys"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// defaultOverlap is how long a key stays good beside its successor.
const defaultOverlap = 24 * time.Hour

// Key is a virtual key as operators see it.
type Key struct {
	Site string `json:"site"`
	Name string `json:"name"`
	// Key is there once, when it was made.
	Key string `json:"key,omitempty"`
	// Source is `configuration` or `store`. Only what is in the store can be
	// changed here.
	Source string             `json:"source"`
	Status virtualkeys.Status `json:"status"`
	// Servers are those it is good for; none means all.
	Servers   []string  `json:"servers,omitempty"`
	CreatedAt time.Time `json:"created_at,omitzero"`
	RotatedAt time.Time `json:"rotated_at,omitzero"`
	// FormerUntil is how long the key before the last rotation stays good.
	FormerUntil time.Time `json:"former_until,omitzero"`
	ExpiresAt   time.Time `json:"expires_at,omitzero"`
	LastUsedAt  time.Time `json:"last_used_at,omitzero"` // to the minute or so
}

// Keys is what a listing answers.
type Keys struct {
	Keys []Key  `json:"keys"`
	Next string `json:"next,omitempty"` // the `after` to go on with
}

func describeKey(site string, k virtualkeys.Key) Key {
	source := "store"
	if k.Configured {
		source = "configuration"
	}
	return Key{
		Site: site, Name: k.Name, Source: source, Status: k.Status, Servers: k.Servers, CreatedAt: k.CreatedAt, RotatedAt: k.RotatedAt,
		FormerUntil: k.FormerUntil, ExpiresAt: k.ExpiresAt, LastUsedAt: k.LastUsedAt,
	}
}

// manyKeys lists keys, and makes one.
func (a API) manyKeys(w http.ResponseWriter, r *http.Request) error {
	switch r.Method {
	case http.MethodGet:
		return a.listKeys(w, r)
	case http.MethodPost:
		return a.createKey(w, r)
	}
	return apiError(http.StatusMethodNotAllowed, "use GET or POST; …/keys/{name} for one key")
}

func (a API) listKeys(w http.ResponseWriter, r *http.Request) error {
	query, err := queryOf(r, "site", "limit", "after")
	if err != nil {
		return err
	}
	limit, err := limitIn(query)
	if err != nil {
		return err
	}
	sites, err := a.sitesNamed(query.Get("site"))
	if err != nil {
		return err
	}
	answer := Keys{Keys: []Key{}}
	for _, s := range sites {
		all, err := s.Keys.List(r.Context())
		if err != nil {
			return failure(err)
		}
		for i := range all {
			place := keyPlace(s.Issuer, all[i].Name)
			if place <= query.Get("after") {
				continue
			}
			if len(answer.Keys) == limit {
				last := answer.Keys[limit-1]
				answer.Next = keyPlace(last.Site, last.Name)
				return writeJSON(w, answer)
			}
			if err := s.Keys.AddLastUses(r.Context(), all[i:i+1]); err != nil {
				return failure(err)
			}
			answer.Keys = append(answer.Keys, describeKey(s.Issuer, all[i]))
		}
	}
	return writeJSON(w, answer)
}

// keyPlace is where a key stands in a listing. A public URL has no space.
func keyPlace(issuer, name string) string { return issuer + " " + name }

func (a API) createKey(w http.ResponseWriter, r *http.Request) error {
	var request keyRequest
	query, err := keyRequestIn(r, &request)
	if err != nil {
		return err
	}
	change, err := request.change()
	if err != nil {
		return err
	}
	sites, err := a.sitesNamed(query.Get("site"))
	if err != nil {
		return err
	}
	if len(sites) != 1 {
		return apiError(http.StatusConflict, "there are several sites; name one with ?site=, of: "+strings.Join(issuersOf(sites), ", "))
	}
	k, secret, err := sites[0].Keys.Create(r.Context(), request.Name, change)
	return answerKey(w, http.StatusCreated, sites[0], k, secret, err)
}

// oneKey serves what is about one key.
func (a API) oneKey(w http.ResponseWriter, r *http.Request) error {
	escaped, action, _ := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), keysPath+"/"), "/")
	name, err := url.PathUnescape(escaped)
	if err != nil {
		return apiError(http.StatusBadRequest, "the name in the path is not escaped as a part of a URL is")
	}
	switch r.Method + " " + action {
	case "GET ":
		return a.showKey(w, r, name)
	case "PATCH ":
		return a.changeKey(w, r, name)
	case "DELETE ":
		return a.deleteKey(w, r, name)
	case "POST rotate":
		return a.rotateKey(w, r, name)
	}
	return apiError(http.StatusNotFound, "use GET, PATCH or DELETE …/keys/{name}, or POST …/keys/{name}/rotate; GET or POST …/keys")
}

func (a API) showKey(w http.ResponseWriter, r *http.Request, name string) error {
	query, err := queryOf(r, "site")
	if err != nil {
		return err
	}
	s, k, err := a.findKey(r, query, name)
	if err != nil {
		return err
	}
	found := []virtualkeys.Key{k}
	if err := s.Keys.AddLastUses(r.Context(), found); err != nil {
		return failure(err)
	}
	return writeJSON(w, describeKey(s.Issuer, found[0]))
}

func (a API) changeKey(w http.ResponseWriter, r *http.Request, name string) error {
	var request keyRequest
	query, err := keyRequestIn(r, &request)
	if err != nil {
		return err
	}
	change, err := request.change()
	switch {
	case err != nil:
		return err
	case request.Name != "":
		return apiError(http.StatusBadRequest, "a key keeps its name; make another one, and delete this one")
	case change == virtualkeys.Change{}:
		return apiError(http.StatusBadRequest, "say what to change: servers, expires_at, expires_in or disabled")
	}
	s, _, err := a.findKey(r, query, name)
	if err != nil {
		return err
	}
	k, err := s.Keys.Change(r.Context(), name, change)
	return answerKey(w, http.StatusOK, s, k, "", err)
}

func (a API) rotateKey(w http.ResponseWriter, r *http.Request, name string) error {
	var request struct {
		Overlap given[string] `json:"overlap"`
	}
	query, err := keyRequestIn(r, &request)
	if err != nil {
		return err
	}
	overlap := defaultOverlap
	if request.Overlap.there {
		if overlap, err = config.ParseDuration(request.Overlap.value); err != nil {
			return apiError(http.StatusBadRequest, `overlap is a duration, such as "24h", or "0s" if the key that there is now shall end at once`)
		}
	}
	s, _, err := a.findKey(r, query, name)
	if err != nil {
		return err
	}
	k, secret, err := s.Keys.Rotate(r.Context(), name, overlap)
	return answerKey(w, http.StatusOK, s, k, secret, err)
}

// deleteKey ends a key, and with connections=true also what its person connected. If
// the configuration took its name, that person is who has the configured key now,
// and keeps what they have.
func (a API) deleteKey(w http.ResponseWriter, r *http.Request, name string) error {
	query, err := queryOf(r, "site", "connections")
	if err != nil {
		return err
	}
	if !slices.Contains([]string{"", "true", "false"}, query.Get("connections")) {
		return apiError(http.StatusBadRequest, "connections is true or false")
	}
	s, _, err := a.findKey(r, query, name)
	if err != nil {
		return err
	}
	taken, withConnections := s.Keys.IsConfigured(name), query.Get("connections") == "true"
	if taken && withConnections {
		return apiError(http.StatusConflict, name+" is the name of a key of the configuration, whose person has these connections; leave out connections")
	}
	if err := s.Keys.Delete(r.Context(), name); err != nil {
		return keyFailure(err)
	}
	ended := EndedPerson{Subject: identity.SubjectOfKey(name), Grants: []string{}, Connections: []string{}}
	if !taken {
		if err := s.endPerson(r.Context(), &ended, withConnections); err != nil {
			return failure(err)
		}
	}
	return writeJSON(w, map[string]any{"site": s.Issuer, "name": name, "connections": ended.Connections})
}

// findKey returns the key of a name at the site that has it, or at the one that is
// named.
func (a API) findKey(r *http.Request, query url.Values, name string) (*Site, virtualkeys.Key, error) {
	sites, err := a.sitesNamed(query.Get("site"))
	if err != nil {
		return nil, virtualkeys.Key{}, err
	}
	var found []*Site
	var key virtualkeys.Key
	for _, s := range sites {
		all, err := s.Keys.List(r.Context())
		if err != nil {
			return nil, virtualkeys.Key{}, failure(err)
		}
		if i := slices.IndexFunc(all, func(k virtualkeys.Key) bool { return k.Name == name }); i >= 0 {
			found, key = append(found, s), all[i]
		}
	}
	switch len(found) {
	case 0:
		return nil, key, keyFailure(virtualkeys.ErrUnknown)
	case 1:
		return found[0], key, nil
	}
	return nil, key, apiError(http.StatusConflict, "several sites have a key of this name; name one with ?site=, of: "+strings.Join(issuersOf(found), ", "))
}

func answerKey(w http.ResponseWriter, status int, s *Site, k virtualkeys.Key, secret string, err error) error {
	if err != nil {
		return keyFailure(err)
	}
	answer := describeKey(s.Issuer, k)
	answer.Key = secret
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	return json.NewEncoder(w).Encode(answer)
}

func keyFailure(err error) error {
	var refused *virtualkeys.Refused
	switch {
	case errors.Is(err, virtualkeys.ErrUnknown):
		return apiError(http.StatusNotFound, "there is no virtual key of this name")
	case errors.As(err, &refused) && refused.Conflict:
		return apiError(http.StatusConflict, refused.Text)
	case errors.As(err, &refused):
		return apiError(http.StatusBadRequest, refused.Text)
	}
	return failure(err)
}

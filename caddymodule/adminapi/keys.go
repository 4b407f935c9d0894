package adminapi

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/virtualkeys"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// defaultOverlap is how long a key stays good beside its successor.
const defaultOverlap = 24 * time.Hour

const KeysPath = "/mcp_oauth/keys"

var connectionsOfKey = parameter{name: "connections", kind: flagKind, about: "Whether to end the connected accounts of its person too, also at the providers."}

var keyRoutes = []route{{
	method: http.MethodGet, path: KeysPath,
	about: "Virtual keys, those of the configuration too, by site and name, with their last use.",
	query: []parameter{siteParameter, serverParameter, {
		name: "status", kind: choiceKind, about: "Whether it can be used.",
		choices: []string{string(virtualkeys.Active), string(virtualkeys.Disabled), string(virtualkeys.Expired)},
	}, limitParameter, afterParameter},
	answer: Keys{}, fails: []int{http.StatusNotFound}, serve: listKeys,
}, {
	method: http.MethodPost, path: KeysPath,
	about: "Makes one, and shows it this once.",
	query: []parameter{siteParameter}, body: NewKey{},
	answer: Key{}, status: http.StatusCreated, fails: []int{http.StatusNotFound, http.StatusConflict}, serve: createKey,
}, {
	method: http.MethodGet, path: KeysPath + "/{name}",
	about:  "One of them.",
	query:  []parameter{siteParameter},
	answer: Key{}, fails: []int{http.StatusNotFound, http.StatusConflict}, serve: showKey,
}, {
	method: http.MethodPatch, path: KeysPath + "/{name}",
	about: "Changes which servers it is good for, when it expires, or whether it is disabled.",
	query: []parameter{siteParameter}, body: KeyChange{},
	answer: Key{}, fails: []int{http.StatusNotFound, http.StatusConflict}, serve: changeKey,
}, {
	method: http.MethodDelete, path: KeysPath + "/{name}",
	about:  "Ends it, and what was approved with it.",
	query:  []parameter{siteParameter, connectionsOfKey},
	answer: DeletedKey{}, fails: []int{http.StatusNotFound, http.StatusConflict}, serve: deleteKey,
}, {
	method: http.MethodPost, path: KeysPath + "/{name}/rotate",
	about: "Makes its successor, and shows it this once. The one before stays good for `overlap`.",
	query: []parameter{siteParameter}, body: KeyRotation{},
	answer: Key{}, fails: []int{http.StatusNotFound, http.StatusConflict}, serve: rotateKey,
}}

// Key is a virtual key.
type Key struct {
	Site string `json:"site"` // its public URL
	Name string `json:"name"`
	Key  string `json:"key,omitempty"` // what its person enters; there once, when it was made
	// Source is `configuration` or `store`. Only what is in the store can be
	// changed here.
	Source string             `json:"source"`
	Status virtualkeys.Status `json:"status"`
	// Servers are the ids of those it is good for; none means all.
	Servers   []string  `json:"servers,omitempty"`
	CreatedAt time.Time `json:"created_at,omitzero"`
	RotatedAt time.Time `json:"rotated_at,omitzero"`
	// FormerUntil is how long the key before the last rotation stays good.
	FormerUntil time.Time `json:"former_until,omitzero"`
	ExpiresAt   time.Time `json:"expires_at,omitzero"`
	LastUsedAt  time.Time `json:"last_used_at,omitzero"` // to the minute or so
}

// Keys are a page of keys.
type Keys struct {
	Keys []Key  `json:"keys"`
	Next string `json:"next,omitempty"` // the `after` to go on with; none after the last
}

// DeletedKey is a key that was ended.
type DeletedKey struct {
	Site        string   `json:"site"`
	Name        string   `json:"name"`
	Connections []string `json:"connections"` // ids of those that were ended with it
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

func listKeys(c *call) (any, error) {
	_, sites, err := c.at(c.query.Get("site"))
	if err != nil {
		return nil, err
	}
	server, status := c.query.Get("server"), c.query.Get("status")
	var list Keys
	list.Keys, list.Next, err = page(c, sites, func(s *Site, after string, limit int) ([]Key, string, error) {
		all, err := s.Keys.List(c.Context())
		if err != nil {
			return nil, "", err
		}
		slices.SortFunc(all, func(a, b virtualkeys.Key) int { return strings.Compare(keyPlace(a), keyPlace(b)) })
		begin := slices.IndexFunc(all, func(k virtualkeys.Key) bool { return keyPlace(k) > after })
		if begin < 0 {
			return nil, "", nil
		}
		some, next := all[begin:], ""
		if len(some) > limit {
			some, next = some[:limit], keyPlace(some[limit-1])
		}
		err = s.Keys.AddLastUses(c.Context(), some)
		keys := make([]Key, len(some))
		for i, k := range some {
			keys[i] = describeKey(s.Issuer, k)
		}
		return keys, next, err
	}, func(k *Key) bool {
		return (server == "" || len(k.Servers) == 0 || slices.Contains(k.Servers, server)) && (status == "" || string(k.Status) == status)
	})
	if err == nil {
		err = c.checkServer(0)
	}
	return list, err
}

// keyPlace is where a key stands in the list. A key of the configuration can have the
// name of one in the store.
func keyPlace(k virtualkeys.Key) string { return k.Name + "\n" + strconv.FormatBool(k.Configured) }

func createKey(c *call) (any, error) {
	var request NewKey
	if err := c.read(&request, wrongTypes); err != nil {
		return nil, err
	}
	change, err := request.change()
	if err != nil {
		return nil, err
	}
	_, sites, err := c.at(c.query.Get("site"))
	if err != nil {
		return nil, err
	}
	if len(sites) != 1 {
		return nil, apiError(http.StatusConflict, "there are several sites; name one with ?site=, of: "+strings.Join(issuersOf(sites), ", "))
	}
	k, secret, err := sites[0].Keys.Create(c.Context(), request.Name, change)
	return answerKey(sites[0], k, secret, err)
}

func showKey(c *call) (any, error) {
	s, k, err := findKey(c)
	if err != nil {
		return nil, err
	}
	found := []virtualkeys.Key{k}
	if err := s.Keys.AddLastUses(c.Context(), found); err != nil {
		return nil, failure(err)
	}
	return describeKey(s.Issuer, found[0]), nil
}

func changeKey(c *call) (any, error) {
	var request KeyChange
	if err := c.read(&request, wrongTypes); err != nil {
		return nil, err
	}
	change, err := request.change()
	switch {
	case err != nil:
		return nil, err
	case change == virtualkeys.Change{}:
		return nil, apiError(http.StatusBadRequest, "say what to change: servers, expires_at, expires_in or disabled")
	}
	s, k, err := findKey(c)
	if err != nil {
		return nil, err
	}
	k, err = s.Keys.Change(c.Context(), k.Name, change)
	return answerKey(s, k, "", err)
}

func rotateKey(c *call) (any, error) {
	var request KeyRotation
	if err := c.read(&request, wrongTypes); err != nil {
		return nil, err
	}
	overlap := defaultOverlap
	if request.Overlap.there {
		var err error
		if overlap, err = config.ParseDuration(request.Overlap.value); err != nil {
			return nil, apiError(http.StatusBadRequest, `overlap is a duration, such as "24h", or "0s" if the key that there is now shall end at once`)
		}
	}
	s, k, err := findKey(c)
	if err != nil {
		return nil, err
	}
	k, secret, err := s.Keys.Rotate(c.Context(), k.Name, overlap)
	return answerKey(s, k, secret, err)
}

// deleteKey ends a key, and with connections=true also what its person connected. If
// the configuration took its name, that person is who has the configured key now,
// and keeps what they have.
func deleteKey(c *call) (any, error) {
	s, k, err := findKey(c)
	if err != nil {
		return nil, err
	}
	taken := s.Keys.IsConfigured(k.Name)
	if taken && c.is("connections") {
		return nil, apiError(http.StatusConflict, k.Name+" is the name of a key of the configuration, whose person has these connections; leave out connections")
	}
	if err := s.Keys.Delete(c.Context(), k.Name); err != nil {
		return nil, keyFailure(err)
	}
	ended := EndedPerson{Subject: identity.SubjectOfKey(k.Name), Grants: []string{}, Connections: []string{}}
	if !taken {
		if err := s.endPerson(c.Context(), &ended, c.is("connections")); err != nil {
			return nil, failure(err)
		}
	}
	return DeletedKey{Site: s.Issuer, Name: k.Name, Connections: ended.Connections}, nil
}

// findKey returns the key of a name at the site that has it, or at the one that is
// named.
func findKey(c *call) (*Site, virtualkeys.Key, error) {
	name := c.named["name"]
	_, sites, err := c.at(c.query.Get("site"))
	if err != nil {
		return nil, virtualkeys.Key{}, err
	}
	var found []*Site
	var key virtualkeys.Key
	for _, s := range sites {
		all, err := s.Keys.List(c.Context())
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

func answerKey(s *Site, k virtualkeys.Key, secret string, err error) (any, error) {
	if err != nil {
		return nil, keyFailure(err)
	}
	answer := describeKey(s.Issuer, k)
	answer.Key = secret
	return answer, nil
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

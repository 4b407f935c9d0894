package adminapi

import (
	"net/http"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// How many entries a listing has.
const (
	defaultLimit = 100
	maxLimit     = 1000
)

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

// Grants is what a listing answers.
type Grants struct {
	Grants []Grant `json:"grants"`
	Next   string  `json:"next,omitempty"` // the `after` to go on with
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

// manyGrants serves what is about all grants, or all of one person.
func (a API) manyGrants(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	subject := query.Get("subject")
	if r.Method == http.MethodDelete && subject == "" {
		return apiError(http.StatusBadRequest, "say whose grants shall end, such as ?subject=virtual_key:alice")
	}
	limit, err := limitIn(query)
	if err != nil {
		return err
	}
	operator, err := a.opened()
	if err != nil {
		return err
	}
	switch {
	case r.Method == http.MethodDelete:
		ended, err := operator.endGrantsOf(r.Context(), subject)
		return answerEnded(w, ended, err)
	case r.Method != http.MethodGet:
		return apiError(http.StatusMethodNotAllowed, "use GET or DELETE")
	case subject != "":
		grants, err := operator.grantsOf(r.Context(), subject)
		return answerGrants(w, grants, "", err)
	}
	grants, next, err := operator.Store.Grants(r.Context(), query.Get("after"), limit, time.Now())
	return answerGrants(w, grants, next, err)
}

// oneGrant ends a grant.
func (a API) oneGrant(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodDelete {
		return apiError(http.StatusMethodNotAllowed, "use DELETE …/grants/{id}")
	}
	operator, err := a.opened()
	if err != nil {
		return err
	}
	ended, err := operator.endGrant(r.Context(), strings.TrimPrefix(r.URL.Path, grantsPath+"/"))
	if err == nil && len(ended) == 0 {
		return apiError(http.StatusNotFound, "no such grant")
	}
	return answerEnded(w, ended, err)
}

func answerGrants(w http.ResponseWriter, grants []storage.Grant, next string, err error) error {
	if err != nil {
		return failure(err)
	}
	return writeJSON(w, describeGrants(grants, next))
}

func answerEnded(w http.ResponseWriter, ids []string, err error) error {
	if err != nil {
		return failure(err)
	}
	return writeJSON(w, map[string][]string{"ended": append([]string{}, ids...)})
}

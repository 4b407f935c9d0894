package caddymodule

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"

	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const (
	defaultGrants = 100
	maxGrants     = 1000
)

// adminGrant is a grant as operators see it.
type adminGrant struct {
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

// adminGrants is what a listing answers.
type adminGrants struct {
	Grants []adminGrant `json:"grants"`
	Next   string       `json:"next,omitempty"` // the `after` to go on with
}

func describeGrants(grants []storage.Grant, next string) adminGrants {
	list := adminGrants{Grants: make([]adminGrant, len(grants)), Next: next}
	for i, g := range grants {
		list.Grants[i] = adminGrant{
			ID: g.ID, Site: g.Issuer, ClientID: g.ClientID, ClientName: g.ClientName, Subject: g.Identity.Subject,
			Scopes: g.Scope, Resources: g.Resources,
			CreatedAt: g.CreatedAt, LastUsedAt: g.LastUsedAt, ExpiresAt: g.ExpiresAt,
		}
	}
	return list
}

// manyGrants serves what is about all grants, or all of one person.
func manyGrants(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	subject := query.Get("subject")
	if r.Method == http.MethodDelete && subject == "" {
		return adminError(http.StatusBadRequest, "say whose grants shall end, such as ?subject=virtual_key:alice")
	}
	limit := defaultGrants
	if text := query.Get("limit"); text != "" {
		var err error
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > maxGrants {
			return adminError(http.StatusBadRequest, "limit is a number from 1 to 1000")
		}
	}
	keeper, err := activeGrantKeeper()
	if err != nil {
		return err
	}
	switch {
	case r.Method == http.MethodDelete:
		ended, err := keeper.endAllOf(r.Context(), subject)
		return answerEnded(w, ended, err)
	case r.Method != http.MethodGet:
		return adminError(http.StatusMethodNotAllowed, "use GET or DELETE")
	case subject != "":
		grants, err := keeper.of(r.Context(), subject)
		return answerGrants(w, grants, "", err)
	}
	grants, next, err := keeper.store.Grants(r.Context(), query.Get("after"), limit, time.Now())
	return answerGrants(w, grants, next, err)
}

// oneGrant ends a grant.
func oneGrant(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodDelete {
		return adminError(http.StatusMethodNotAllowed, "use DELETE …/grants/{id}")
	}
	keeper, err := activeGrantKeeper()
	if err != nil {
		return err
	}
	ended, err := keeper.end(r.Context(), strings.TrimPrefix(r.URL.Path, adminGrantsPath+"/"))
	if err == nil && len(ended) == 0 {
		return adminError(http.StatusNotFound, "no such grant")
	}
	return answerEnded(w, ended, err)
}

// grantKeeper has what it takes to see and end grants.
type grantKeeper struct {
	store   storage.AuthStore
	tokens  *tokens.Cache
	issuers []string // of the sites
	log     *zap.Logger
}

// activeGrantKeeper returns that of the configuration that serves now, see
// activeSites. Its errors are for the operator.
func activeGrantKeeper() (*grantKeeper, error) {
	app := activeApp()
	if app == nil {
		return nil, adminError(http.StatusNotFound, "no site has mcp_oauth")
	}
	state, _, err := app.open()
	if err != nil {
		return nil, adminFailure(err)
	}
	return &grantKeeper{state.store, state.tokens, app.issuers(), app.log}, nil
}

// of returns the grants of a person at all sites of the configuration.
func (k *grantKeeper) of(ctx context.Context, subject string) ([]storage.Grant, error) {
	var all []storage.Grant
	for _, issuer := range k.issuers {
		grants, err := k.store.GrantsOf(ctx, issuer, subject, time.Now())
		if err != nil {
			return nil, err
		}
		all = append(all, grants...)
	}
	return all, nil
}

// endAllOf ends the grants of a person and returns their ids. If it fails half
// way, asking again ends the others.
func (k *grantKeeper) endAllOf(ctx context.Context, subject string) ([]string, error) {
	grants, err := k.of(ctx, subject)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, g := range grants {
		ended, err := k.end(ctx, g.ID)
		if err != nil {
			return nil, err
		}
		all = append(all, ended...)
	}
	return all, nil
}

// end ends a grant with all its tokens, and returns its id if it stood. Open
// streams end when they are next checked.
func (k *grantKeeper) end(ctx context.Context, id string) ([]string, error) {
	revocation, err := k.store.RevokeGrant(ctx, id, time.Now())
	if err != nil {
		return nil, err
	}
	k.tokens.Forget(revocation)
	if len(revocation.GrantIDs) > 0 {
		k.log.Info("an operator ended a grant", zap.String("grant_id", id))
	}
	return revocation.GrantIDs, nil
}

func answerGrants(w http.ResponseWriter, grants []storage.Grant, next string, err error) error {
	if err != nil {
		return adminFailure(err)
	}
	return writeAdminJSON(w, describeGrants(grants, next))
}

func answerEnded(w http.ResponseWriter, ids []string, err error) error {
	if err != nil {
		return adminFailure(err)
	}
	return writeAdminJSON(w, map[string][]string{"ended": append([]string{}, ids...)})
}

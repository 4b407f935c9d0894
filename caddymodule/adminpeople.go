package caddymodule

import (
	"context"
	"net/http"
	"slices"

	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// endedPerson is what an operator ended of a person.
type endedPerson struct {
	Subject     string   `json:"subject"`
	Grants      []string `json:"grants"`
	Connections []string `json:"connections"`
}

// endPerson ends all that a person has at all sites of the running
// configuration: pending flows and the ways to providers that began in them,
// grants, browser sessions and, with connections=true, connected accounts. If it
// fails half way, asking again ends the rest.
func endPerson(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodDelete {
		return adminError(http.StatusMethodNotAllowed, "use DELETE …/people?subject=virtual_key:alice")
	}
	query := r.URL.Query()
	subject, withConnections := query.Get("subject"), query.Get("connections")
	if subject == "" || !slices.Contains([]string{"", "true", "false"}, withConnections) {
		return adminError(http.StatusBadRequest, "say who shall leave, such as ?subject=virtual_key:alice, and perhaps &connections=true")
	}
	app := activeApp()
	if app == nil {
		return adminError(http.StatusNotFound, "no site has mcp_oauth")
	}
	if _, _, err := app.open(); err != nil {
		return adminFailure(err)
	}
	ended := endedPerson{Subject: subject, Grants: []string{}, Connections: []string{}}
	for _, s := range app.allSites() {
		if err := s.endPerson(r.Context(), &ended, withConnections == "true"); err != nil {
			return adminFailure(err)
		}
	}
	app.log.Info("an operator ended all that a person has here", zap.String("subject", subject),
		zap.Int("grants", len(ended.Grants)), zap.Int("connections", len(ended.Connections)))
	return writeAdminJSON(w, ended)
}

// endPerson ends what a person has at this site, and adds to what was ended.
func (s *site) endPerson(ctx context.Context, ended *endedPerson, withConnections bool) error {
	grants, err := s.as.Grants.List(ctx, ended.Subject)
	if err != nil {
		return err
	}
	if err := s.as.Sessions.SignOutEverywhere(ctx, ended.Subject); err != nil {
		return err
	}
	ended.Grants = append(ended.Grants, idsOf(grants)...)
	if !withConnections || s.broker == nil {
		return nil
	}
	all, err := s.broker.Overviews(ctx)
	if err != nil {
		return err
	}
	for _, o := range all {
		if o.Owner != ended.Subject || o.ID == "" {
			continue
		}
		if err := s.broker.Disconnect(ctx, o.Owner, o.Server); err != nil {
			return err
		}
		ended.Connections = append(ended.Connections, o.ID)
	}
	return nil
}

func idsOf(grants []storage.Grant) []string {
	ids := make([]string, len(grants))
	for i, g := range grants {
		ids[i] = g.ID
	}
	return ids
}

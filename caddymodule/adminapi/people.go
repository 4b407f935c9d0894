package adminapi

import (
	"net/http"

	"go.uber.org/zap"
)

const peoplePath = "/mcp_oauth/people"

var personRoutes = []route{{
	method: http.MethodDelete, path: peoplePath,
	about: "Ends all that a person has at all sites of the running configuration: grants, browser sessions, " +
		"sign-ins and ways to providers under way; with `connections`, also their connected accounts. " +
		"If it fails half way, asking again ends the rest.",
	query: []parameter{
		{name: "subject", required: true, about: "Who shall leave, as `virtual_key:alice`."},
		{name: "connections", kind: flagKind, about: "Whether to end their connected accounts too, also at the providers."},
	},
	answer: EndedPerson{}, serve: endPerson,
}}

// EndedPerson is what an operator ended of a person.
type EndedPerson struct {
	Subject     string   `json:"subject"`
	Grants      []string `json:"grants"`
	Connections []string `json:"connections"`
}

func endPerson(c *call) (any, error) {
	operator, err := c.opened()
	if err != nil {
		return nil, err
	}
	ended := EndedPerson{Subject: c.query.Get("subject"), Grants: []string{}, Connections: []string{}}
	for _, s := range operator.Sites {
		if err := s.endPerson(c.Context(), &ended, c.is("connections")); err != nil {
			return nil, failure(err)
		}
	}
	operator.Log.Info("an operator ended all that a person has here", zap.String("subject", ended.Subject),
		zap.Int("grants", len(ended.Grants)), zap.Int("connections", len(ended.Connections)))
	return ended, nil
}

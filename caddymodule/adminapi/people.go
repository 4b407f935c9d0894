package adminapi

import (
	"net/http"
	"slices"

	"go.uber.org/zap"
)

// EndedPerson is what an operator ended of a person.
type EndedPerson struct {
	Subject     string   `json:"subject"`
	Grants      []string `json:"grants"`
	Connections []string `json:"connections"`
}

// endPerson ends all that a person has at all sites of the running
// configuration: pending flows and the ways to providers that began in them,
// grants, browser sessions and, with connections=true, connected accounts. If it
// fails half way, asking again ends the rest.
func (a API) endPerson(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodDelete {
		return apiError(http.StatusMethodNotAllowed, "use DELETE …/people?subject=virtual_key:alice")
	}
	query := r.URL.Query()
	subject, withConnections := query.Get("subject"), query.Get("connections")
	if subject == "" || !slices.Contains([]string{"", "true", "false"}, withConnections) {
		return apiError(http.StatusBadRequest, "say who shall leave, such as ?subject=virtual_key:alice, and perhaps &connections=true")
	}
	operator, err := a.opened()
	if err != nil {
		return err
	}
	ended := EndedPerson{Subject: subject, Grants: []string{}, Connections: []string{}}
	for _, s := range operator.Sites {
		if err := s.endPerson(r.Context(), &ended, withConnections == "true"); err != nil {
			return failure(err)
		}
	}
	operator.Log.Info("an operator ended all that a person has here", zap.String("subject", subject),
		zap.Int("grants", len(ended.Grants)), zap.Int("connections", len(ended.Connections)))
	return writeJSON(w, ended)
}

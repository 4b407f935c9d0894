package adminapi

import (
	"net/http"
	"time"
)

// HealthPath is where operators and their tools ask whether sign-ins and calls
// can be answered.
const HealthPath = "/mcp_oauth/health"

var healthRoutes = []route{{
	method: http.MethodGet, path: HealthPath,
	about:  "200 while sign-ins and calls can be answered, else 503 with the reason.",
	answer: Health{},
	serve:  health,
}}

// Health is the answer of a healthy server.
type Health struct {
	Status string `json:"status"` // `ok`
	// Differences are those between the Caddys on the same database that last, in
	// words, with what to do.
	Differences []string `json:"differences,omitempty"`
}

// health answers 200, or 503 with the reason while the sites answer 503 too.
func health(c *call) (any, error) {
	if err := c.Ready(); err != nil {
		return nil, apiError(http.StatusServiceUnavailable, err.Error())
	}
	h := Health{Status: "ok"}
	if operator := c.Active(true); operator != nil {
		for _, d := range operator.Instances.Overview().Different {
			if d.Lasts(time.Now()) {
				h.Differences = append(h.Differences, d.Text+". "+d.Fix)
			}
		}
	}
	return h, nil
}

package adminapi

import "net/http"

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
}

// health answers 200, or 503 with the reason while the sites answer 503 too.
func health(c *call) (any, error) {
	if err := c.Ready(); err != nil {
		return nil, apiError(http.StatusServiceUnavailable, err.Error())
	}
	return Health{"ok"}, nil
}

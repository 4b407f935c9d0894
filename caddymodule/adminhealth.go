package caddymodule

import (
	"net/http"
)

// adminHealthPath is where operators and their tools ask whether sign-ins and
// calls can be answered.
const adminHealthPath = "/" + appName + "/health"

// showHealth answers 200 while the store is open, and 503 with the reason while
// the sites answer 503 too.
func showHealth(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet {
		return adminError(http.StatusMethodNotAllowed, "use GET")
	}
	app := activeApp()
	if app == nil {
		return adminError(http.StatusServiceUnavailable, "no site with mcp_oauth is configured")
	}
	if err := app.cause(); err != nil {
		return adminError(http.StatusServiceUnavailable, err.Error())
	}
	return writeAdminJSON(w, map[string]string{"status": "ok"})
}

package ratelimit

import (
	"net/http"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

// ErrTooManyAttempts answers whoever presented too many wrong secrets.
var ErrTooManyAttempts = &oauth.Error{
	Status: http.StatusTooManyRequests, Code: "temporarily_unavailable",
	Description: "Too many failed attempts; try again shortly.",
}

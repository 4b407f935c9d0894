package caddymodule

import (
	"github.com/caddyserver/caddy/v2"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/adminapi"
)

func init() {
	caddy.RegisterModule(adminapi.API{Active: activeOperator})
}

// activeOperator returns what an operator can see and end of the configuration
// that serves now, or nil if that has no site.
func activeOperator(open bool) *adminapi.Operator {
	app := activeApp()
	if app == nil {
		return nil
	}
	operator := &adminapi.Operator{Log: app.log, Failure: app.cause()}
	if open {
		var state *processState
		if state, _, operator.Failure = app.open(); operator.Failure != nil {
			return operator
		}
		operator.Store, operator.Tokens = state.store, state.tokens
	}
	for _, s := range app.allSites() {
		operator.Sites = append(operator.Sites, &adminapi.Site{Issuer: s.as.Config().Issuer, Server: s.as, Accounts: s.broker})
	}
	return operator
}

package routes

import (
	"sync"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/gateway"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// ForAccount makes the MCP server for an account, as config.Server.ForAccount
// describes it.
type ForAccount func(*config.Server) *gateway.Server

// maxKept is how many names of accounts at a server are remembered. Beyond that, calls
// cost what it takes to make the server for the account.
const maxKept = 10_000

// accounts are the paths of accounts at one server. What answers there is the same
// for all who have an account of that name. It is kept once a call has passed: who
// has no token leaves nothing here.
type accounts struct {
	of         *gateway.Server
	prefix     string
	forAccount ForAccount

	mu   sync.RWMutex // guards kept
	kept map[string]*gateway.Server
}

// find returns the server for the account with the name, or nil if there can be none.
func (a *accounts) find(name string) *gateway.Server {
	a.mu.RLock()
	s := a.kept[name]
	a.mu.RUnlock()
	if s != nil {
		return s
	}
	described := a.of.ForAccount(name)
	if described == nil {
		return nil
	}
	s = a.forAccount(described)
	s.Passed = sync.OnceFunc(func() { a.keep(described.Account, s) })
	return s
}

// keep remembers a server, unless another call was first.
func (a *accounts) keep(name string, s *gateway.Server) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.kept[name] != nil {
		return
	}
	if len(a.kept) >= maxKept {
		for other := range a.kept {
			delete(a.kept, other)
			break
		}
	}
	a.kept[name] = s
}

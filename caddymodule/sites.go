package caddymodule

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/gateway"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/selfcheck"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// sites are those of one configuration: the handlers that it has, and what their sites
// work with, which is known once the store is open.
type sites struct {
	handlers []*Handler // as Caddy provisions them, one by one

	mu       sync.Mutex                 // guards what follows
	servers  map[string]*gateway.Server // by resource
	byIssuer map[string]*site
}

// add makes a handler of this configuration known. It refuses another
// one for the same public URL: what is open or connected at one of them would
// be judged by the other. A copy is the same site at another listener, as the
// Caddyfile adapter writes it for a site with several addresses.
func (s *sites) add(h *Handler) error {
	for _, other := range s.handlers {
		if other.cfg.Issuer == h.cfg.Issuer && !bytes.Equal(caddyconfig.JSON(other, nil), caddyconfig.JSON(h, nil)) {
			return config.Errorf("public_url", "two sites have %s: the one with %s and the one with %s; put these servers into one mcp_oauth block, or give each site its own public_url",
				h.cfg.Issuer, serverNames(other), serverNames(h))
		}
	}
	if other := s.first(h); other != nil {
		// They are equal; and it has the virtual keys, which change.
		h.cfg, h.clients, h.pages, h.landing = other.cfg, other.clients, other.pages, other.landing
	}
	s.handlers = append(s.handlers, h)
	return nil
}

// first returns the first handler of the same site, of which others are copies, or
// nil if none was added.
func (s *sites) first(h *Handler) *Handler {
	for _, other := range s.handlers {
		if other.cfg.Issuer == h.cfg.Issuer {
			return other
		}
	}
	return nil
}

// serverNames names a handler by its servers, for it has no name.
func serverNames(h *Handler) string {
	names := make([]string, len(h.Servers))
	for i, s := range h.Servers {
		names[i] = s.ID + " " + s.Path
	}
	return "server " + strings.Join(names, ", ")
}

// opened makes known what a site works with.
func (s *sites) opened(issuer string, one *site, servers map[string]*gateway.Server) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byIssuer == nil {
		s.servers, s.byIssuer = map[string]*gateway.Server{}, map[string]*site{}
	}
	maps.Copy(s.servers, servers)
	s.byIssuer[issuer] = one
}

// server returns the MCP server of a resource, under this configuration.
func (s *sites) server(resource string) *gateway.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	if server := s.servers[resource]; server != nil {
		return server
	}
	for issuer, one := range s.byIssuer {
		if path, ok := strings.CutPrefix(resource, issuer); ok { // of an account
			e, _ := one.routes.Find(path)
			return e.Server
		}
	}
	return nil
}

// all returns the sites that are open, in the order of their issuers.
func (s *sites) all() []*site {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*site, 0, len(s.byIssuer))
	for _, issuer := range slices.Sorted(maps.Keys(s.byIssuer)) {
		all = append(all, s.byIssuer[issuer])
	}
	return all
}

// connecting returns those that connect anything.
func (s *sites) connecting() []*site {
	return slices.DeleteFunc(s.all(), func(one *site) bool { return one.broker == nil })
}

// allServers returns the MCP servers of all of them.
func (s *sites) allServers() []*gateway.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.servers))
}

// checkSites looks at every site as its clients will see it, and announces those that
// work. It refuses a configuration that cannot, if there is still time for that.
func checkSites(a *App, refuse bool) error {
	app, err := a.ctx.AppIfConfigured("http")
	if err != nil {
		return nil // without it there are no handlers
	}
	reports := map[*Handler]*selfcheck.Report{}
	for _, h := range a.sites.handlers {
		if a.sites.first(h) != h {
			continue
		}
		reports[h] = selfcheck.Run(a.ctx, app.(*caddyhttp.App), selfcheck.Site{
			Config: h.cfg, Serve: h.serveAlone, Locate: func(directives []string) string { return adapted.locateBeside(h, directives) },
			Is: func(other caddyhttp.MiddlewareHandler) bool {
				copied, ok := other.(*Handler)
				return ok && copied.cfg.Issuer == h.cfg.Issuer
			},
		})
		if err := reports[h].Refusal(); err != nil {
			err = fmt.Errorf("%s cannot work: %w", h.cfg.Issuer, err)
			if refuse {
				return err
			}
			a.mu.Lock()
			a.unfit = err
			a.mu.Unlock()
		}
	}
	for _, h := range a.sites.handlers {
		if r := reports[h]; r != nil {
			r.Log(h.cfg.Issuer, h.log)
			h.announce(r)
		}
	}
	return nil
}

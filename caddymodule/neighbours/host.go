package neighbours

import (
	"errors"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/server"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// Caddy answers a request for a host it does not serve with an empty 200. A
// client that was led here under another name, by a typo or by DNS rebinding,
// would take that for a success. On the paths of the handler such a request
// gets 421 (RFC 9110 section 15.5.20).

var errMisdirected = errors.New("mcp_oauth: the request is for a host that is not the site's")

// Host is the host of a site, and the paths there that are the site's.
type Host struct {
	name  string
	owned *config.OwnedPaths
}

// NewHost returns the host of a site.
func NewHost(site *config.Site) *Host { return &Host{site.Host(), site.OwnedPaths()} }

// Owns reports whether a path is the site's.
func (h *Host) Owns(path string) bool { return h.owned.Contains(path) }

// Serves reports whether a Host header names the site. The port is left out, as
// in Caddy's own matchers: it may be mapped on the way.
func (h *Host) Serves(host string) bool {
	host = hostname(host)
	return host == h.name || strings.EqualFold(host, h.name)
}

// hostname returns the host of a Host header, without brackets.
func hostname(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && i > strings.LastIndexByte(host, ']') {
		host = host[:i]
	}
	if n := len(host); n > 1 && host[0] == '[' && host[n-1] == ']' {
		host = host[1 : n-1]
	}
	return host
}

// RejectElsewhere adds a matcher behind all sites of the server: where no site
// matched, it answers for the paths of this one. It hangs on the last route, as
// one more alternative: Caddy asks it only after every other route and matcher
// declined. A new route cannot be added at this time, because Caddy is walking
// the list. If the last route matches everything, some site serves every host,
// and there is nothing to answer. Each such request is told before.
func (h *Host) RejectElsewhere(ctx caddy.Context, tell func(*http.Request)) {
	server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok || len(server.Routes) == 0 {
		return
	}
	last := &server.Routes[len(server.Routes)-1]
	if len(last.MatcherSets) == 0 {
		return
	}
	last.MatcherSets = append(last.MatcherSets, caddyhttp.MatcherSet{misdirected{h, tell}})
}

// misdirected matches nothing, but fails for the paths of a site at other hosts.
type misdirected struct {
	host *Host
	tell func(*http.Request)
}

// MatchWithError implements caddyhttp.RequestMatcherWithError.
func (m misdirected) MatchWithError(r *http.Request) (bool, error) {
	if m.host.Serves(r.Host) || !m.host.Owns(r.URL.Path) {
		return false, nil
	}
	m.tell(r)
	return false, Misdirected(r)
}

// Misdirected returns the error for a request that is for another host, and
// keeps that out of the access log if it must be.
func Misdirected(r *http.Request) error {
	keepOutOfAccessLog(r)
	return caddyhttp.Error(http.StatusMisdirectedRequest, errMisdirected)
}

// keepOutOfAccessLog keeps a request for another host out of the access log if
// its URL may have secrets, such as an answer of a provider that was sent to the
// wrong name: the log of that host is not the site's, and filters nothing.
func keepOutOfAccessLog(r *http.Request) {
	if r.URL.RawQuery != "" || strings.HasPrefix(r.URL.Path, server.ConnectPath) || r.Header.Get("Referer") != "" {
		caddyhttp.SetVar(r.Context(), caddyhttp.LogSkipVar, true)
	}
}

var _ caddyhttp.RequestMatcherWithError = misdirected{}

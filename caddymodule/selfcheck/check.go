package selfcheck

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap/zapcore"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/neighbours"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
)

// Site is a site to be checked.
type Site struct {
	Config *config.Site
	// Is reports whether a handler is one of this site's.
	Is func(caddyhttp.MiddlewareHandler) bool
	// Serve is the site at work, with nothing around it.
	Serve caddyhttp.HandlerFunc
	// Locate returns where directives are that are beside the site's, if that is
	// known.
	Locate func(directives []string) string
}

// Run checks a site at each server that leads to it, and reports of the one where
// it works best: of several addresses, some may not be for clients.
func Run(ctx context.Context, app *caddyhttp.App, site Site) *Report {
	var best *Report
	for _, server := range app.Servers {
		c := &check{ctx: ctx, site: site, report: new(Report)}
		c.traveller = neighbours.Traveller{Server: server, To: site.Is, Arrive: c.arrive}
		if !c.traveller.Leads() {
			continue
		}
		c.run(app)
		if best == nil || c.report.worseThan(best) < 0 {
			best = c.report
		}
	}
	if best == nil {
		return new(Report) // a named route that nobody invokes
	}
	return best
}

// check is that of one site at one server.
type check struct {
	ctx       context.Context
	site      Site
	traveller neighbours.Traveller
	report    *Report

	visit visit
	sent  *answer // by the site
	moved string  // what was changed in the request on the way
	limit int64   // of the body of calls
	// unknownAt are the pages where nobody says who somebody is.
	unknownAt []string
	// asksClients and asksPeople are about handlers that want another sign-in.
	asksClients bool
	asksPeople  []finding
}

func (c *check) run(app *caddyhttp.App) {
	for _, v := range visits(c.site.Config) {
		if v.method == "" {
			v.method = http.MethodGet
		}
		c.visit, c.sent, c.moved = v, nil, ""
		got := newAnswer()
		c.judge(c.traveller.Send(got, c.request(v)), got)
		c.report.add(v.part)
	}
	c.checkAsking()
	c.checkBodyLimit()
	c.checkWho()
	c.checkTimeouts()
	c.checkScheme()
	c.checkFront(app)
	c.report.finish(c.site.Locate)
}

// authorization is sent along, to see that it comes through.
const authorization = "Bearer selfcheck"

func (c *check) request(v visit) *http.Request {
	public, _ := url.Parse(c.site.Config.Issuer) // which was checked
	r := &http.Request{
		Method: v.method, Host: public.Host, URL: &url.URL{Path: v.path}, RequestURI: v.path, RemoteAddr: "127.0.0.1:1",
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{"Accept": {"*/*"}}, Body: http.NoBody,
	}
	if len(c.traveller.Server.TLSConnPolicies) > 0 {
		r.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true, ServerName: public.Hostname()}
	}
	switch {
	case !v.real && !v.person:
		r.Header.Set("Authorization", authorization)
	case v.method == http.MethodOptions && !v.call:
		r.Header.Set("Origin", "https://client.example")
		r.Header.Set("Access-Control-Request-Method", http.MethodPost)
	}
	return r.WithContext(event.Unheard(c.ctx))
}

// arrive takes the request where the site stands.
func (c *check) arrive(w http.ResponseWriter, r *http.Request) error {
	v := c.visit
	wanted := c.request(v)
	for _, part := range []struct{ name, got, want string }{
		{"path", r.URL.Path, v.path},
		{"method", r.Method, v.method},
		{"Host", r.Host, wanted.Host},
		{"Authorization header", r.Header.Get("Authorization"), wanted.Header.Get("Authorization")},
		{"Origin header", r.Header.Get("Origin"), wanted.Header.Get("Origin")},
	} {
		if part.got != part.want {
			c.moved = part.name
			return nil
		}
	}
	if !v.real {
		c.sent = stub(v)
	} else {
		c.sent = newAnswer()
		if err := c.site.Serve(c.sent, r); err != nil {
			return err
		}
	}
	c.sent.copyTo(w)
	return nil
}

// judge says what one visit tells.
func (c *check) judge(j neighbours.Journey, got *answer) {
	v := c.visit
	c.limitBody(j.BodyLimit)
	if v.part == pages && !j.MayAuthenticate {
		c.unknownAt = append(c.unknownAt, v.path)
	}
	switch {
	case c.sent == nil && c.moved == "":
		c.blocked(j, got)
		return
	case c.moved != "":
		c.report.find(finding{
			refuse: !v.extra, level: zapcore.ErrorLevel, of: v, by: []string{"request_header", "uri", "rewrite", "method"},
			problem: fmt.Sprintf("get to mcp_oauth with another %s", c.moved),
			fix:     "take what changes it, such as request_header, uri or rewrite, out of the way of these paths, or give it a matcher for others",
		})
		return
	}
	c.judgeAsking(j)
	for _, change := range changesOf(v, c.sent, got) {
		what, by := "the header "+change.what, []string{"header"}
		if change.what == "status" || change.what == "body" {
			what, by = "the "+change.what, []string{"templates", "intercept", "replace", "replace_response"}
		}
		c.report.find(finding{
			refuse: change.refuse && !v.extra, level: change.level, of: v, by: by, problem: fmt.Sprintf("are answered, but another handler changes %s of the answer, %s", what, change.effect),
			fix: "give that handler, such as header, templates or replace, a matcher for other paths, or put it behind mcp_oauth",
		})
	}
}

// blocked is about a request that did not arrive.
func (c *check) blocked(j neighbours.Journey, got *answer) {
	v := c.visit
	if v.part == preflight && got.header.Get("Access-Control-Allow-Origin") != "" {
		return // the operator's own answer to that
	}
	f := finding{refuse: !v.extra, level: zapcore.ErrorLevel, of: v}
	if v.extra {
		f.level = zapcore.WarnLevel
	}
	switch {
	case j.Answerer != "":
		f.by = directives(j.Answerer)
		f.problem = fmt.Sprintf("do not get to mcp_oauth: %s in front of it takes them", anyOf(f.by))
		f.fix = "put it behind mcp_oauth, into a handle block of its own, or give it a matcher for other paths"
	case j.Err != nil:
		f.problem, f.fix = fmt.Sprintf("do not get to mcp_oauth: %v", j.Err), "let them through"
	default:
		f.problem = "do not get to mcp_oauth"
		f.fix = "put mcp_oauth directly into the block of the site"
	}
	c.report.find(f)
}

// judgeAsking is about handlers that ask who sent a request.
func (c *check) judgeAsking(j neighbours.Journey) {
	v := c.visit
	asks := len(j.Asks) > 0
	f := finding{level: zapcore.WarnLevel, of: v, by: []string{"basic_auth", "forward_auth", "basicauth", "authenticate", "authorize"}}
	switch {
	case !asks && !j.AsksElsewhere || v.person && c.site.Config.UserPlaceholder() != "":
		return
	case v.person:
		f.problem = "need another sign-in first, by " + asker(asks)
		f.fix = "if people should sign in that way, add identity caddy, and they sign in once; else give it a matcher for other paths"
		c.asksPeople = append(c.asksPeople, f)
		return
	case asks:
		f.refuse, f.level = !v.extra && slices.Contains(j.Asks, "http_basic"), zapcore.ErrorLevel
		f.problem = "need another sign-in first, by " + asker(asks) + ", which MCP clients cannot do"
		f.fix = "give it a matcher for the pages alone, as in examples/caddy-user.caddyfile"
	default:
		f.problem = "are first shown to another server, by forward_auth; unless that lets through everybody who asks for these paths, no MCP client can sign in"
		f.fix = "give it a matcher for the pages alone, as in examples/forward-auth.caddyfile"
	}
	c.asksClients = true
	c.report.find(f)
}

// checkAsking tells that people sign in twice, unless there is worse to be told.
func (c *check) checkAsking() {
	for _, f := range c.asksPeople {
		if !c.asksClients {
			c.report.find(f)
		}
	}
}

func asker(here bool) string {
	if here {
		return "basic_auth or another authentication handler"
	}
	return "forward_auth"
}

// anyOf joins words.
func anyOf(words []string) string {
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// directives returns what puts a handler into a Caddyfile.
func directives(handler string) []string {
	switch handler {
	case "static_response":
		return []string{"respond", "redir", "abort"}
	case "headers":
		return []string{"header"}
	case "reverse_proxy":
		return []string{"reverse_proxy", "php_fastcgi"}
	}
	return []string{handler}
}

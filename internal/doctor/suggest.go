package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"time"

	oauthclient "github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
)

// Suggestion is what to write for an MCP server.
type Suggestion struct {
	// Block is the server block of a Caddyfile, with comments.
	Block string `json:"block"`
	// ID and Path are those of the block.
	ID   string `json:"id"`
	Path string `json:"path"`
	// Auth is its `auth`: `none`, `per_user_oauth` or `per_user_headers`.
	Auth string `json:"auth"`
	// Needs is what an operator has to do besides.
	Needs []string `json:"needs"`
}

// Names say what the server is to be called; both may be empty.
type Names struct{ ID, Path string }

// proposal is how a provider may be found by this site.
type proposal struct {
	issuer, resource string
	missingPKCE      bool
}

// Suggest returns what to write for a server that was examined. It tries whether this
// site would find the provider so.
func (r *Report) Suggest(ctx context.Context, o Options, names Names) (*Suggestion, error) {
	at, err := parseTarget(r.URL)
	if err != nil {
		return nil, err
	}
	u := at.URL
	if unusable := r.unusable(); unusable != nil {
		return nil, unusable
	}
	s := &Suggestion{ID: cmp.Or(names.ID, nameOf(u)), Auth: "none", Needs: []string{}}
	s.Path = cmp.Or(names.Path, "/"+s.ID+"/mcp")
	var lines []string
	switch r.SignIn {
	case "none":
	case "oauth":
		s.Auth = "per_user_oauth"
		lines, err = s.oauth(ctx, r, u, &o)
	default:
		s.Auth = "per_user_headers"
		lines = s.keys()
	}
	s.write(u.String(), lines)
	return s, err
}

// unusable returns why a server cannot be put behind this site at all.
func (r *Report) unusable() error {
	if r.Outcome == Unchecked {
		return errors.New(r.Reason)
	}
	for _, f := range r.Findings {
		switch f.ID {
		case badCertificate.ID, notMCP.ID, legacyOnly.ID, redirected.ID, serverError.ID, initializeFailed.ID:
			return fmt.Errorf("%s: %s (%s). %s", f.At, f.Title, f.Seen, f.Fix)
		}
	}
	return nil
}

// oauth returns the lines of a block whose people connect accounts.
func (s *Suggestion) oauth(ctx context.Context, r *Report, u *url.URL, o *Options) ([]string, error) {
	if o.Insecure || o.RootCAs != nil {
		s.Needs = append(s.Needs, "Trust the certificate of the server and of its provider on the machine that Caddy runs on: a site trusts no other.")
		return []string{"auth per_user_oauth"}, nil
	}
	found, with, err := r.tryProposals(ctx, u, o)
	if err != nil {
		return []string{"# No provider can be used yet: see what was printed with this block.", "auth per_user_oauth"}, err
	}
	var options []string
	add := func(condition bool, lines ...string) {
		if condition {
			options = append(options, lines...)
		}
	}
	add(with.issuer != "", "issuer "+with.issuer)
	if with.resource != "" {
		s.Needs = append(s.Needs, "The server calls itself "+with.resource+": check that this is the server you mean, as it gets the tokens for that one.")
		add(true, "# The server calls itself so.", "resource "+with.resource)
	}
	add(with.missingPKCE, "allow_missing_pkce")
	if found.RegistrationEndpoint == "" && !bool(found.ClientDocuments) {
		prefix := strings.ToUpper(strings.ReplaceAll(s.ID, "-", "_"))
		callback := "/api/oauth/callback/" + s.ID
		s.Needs = append(s.Needs, fmt.Sprintf("Register an application at %s, with your site's address and %s as its callback URL, and give Caddy %s_CLIENT_ID and %s_CLIENT_SECRET in the environment.", said(found.Issuer), callback, prefix, prefix))
		add(true, "# Register an application at "+said(found.Issuer), "client_id {env."+prefix+"_CLIENT_ID}", "client_secret {env."+prefix+"_CLIENT_SECRET}", "callback_path "+callback)
	}
	if len(options) == 0 {
		return []string{"auth per_user_oauth"}, nil
	}
	lines := []string{"auth per_user_oauth {"}
	for _, option := range options {
		lines = append(lines, "\t"+option)
	}
	return append(lines, "}"), nil
}

// tryProposals returns the provider as this site finds it, with the fewest options.
func (r *Report) tryProposals(ctx context.Context, u *url.URL, o *Options) (found *oauthclient.Provider, with proposal, err error) {
	var first error
	for _, missingPKCE := range []bool{false, true} {
		for _, resource := range []string{"", r.hints.resource} {
			for _, issuer := range []string{"", r.Issuer, r.hints.issuer} {
				with = proposal{issuer: issuer, resource: resource, missingPKCE: missingPKCE}
				if with.spelt() {
					found, err = with.discover(ctx, u, o)
					first = cmp.Or(first, err)
				}
				if found != nil && err == nil {
					return found, with, nil
				}
			}
		}
	}
	return nil, proposal{}, first
}

// spelt reports whether what a server wrote can stand in a Caddyfile.
func (p proposal) spelt() bool {
	return (p.issuer == "" || oauth.PlainURI(p.issuer)) && (p.resource == "" || oauth.PlainURI(p.resource))
}

func (p proposal) discover(ctx context.Context, u *url.URL, o *Options) (*oauthclient.Provider, error) {
	resource, _ := oauth.CanonicalResource(cmp.Or(p.resource, u.String()))
	configured := []string{u.String()}
	// What a server on the internet names must be there as well: nobody configured it yet.
	if !o.internet && !onInternet(ctx, o, u.Hostname()) {
		configured = append(configured, p.issuer)
	}
	c := oauthclient.Client{
		Name:       "server",
		Guarded:    egress.New(egress.Options{RootCAs: o.RootCAs, Resolver: o.Resolver}),
		Operator:   egress.New(egress.Options{RootCAs: o.RootCAs, Resolver: o.Resolver, Anywhere: true}),
		Configured: configured,
		Quirks:     oauthclient.Quirks{AllowMissingPKCE: p.missingPKCE},
		Now:        time.Now,
	}
	return c.Discover(ctx, oauthclient.Resource{URL: u.String(), Identifier: resource, Issuer: p.issuer})
}

// keys returns the lines of a block whose people paste a key.
func (s *Suggestion) keys() []string {
	s.Needs = append(s.Needs, "The server refuses calls and does not say where to sign in: it wants a key. See in its documentation which header it has to be in.")
	return []string{
		"# Each person pastes a key of their own. For one key for everybody:",
		"#\tauth headers {",
		`#` + "\t\t" + `Authorization "Bearer {env.` + strings.ToUpper(strings.ReplaceAll(s.ID, "-", "_")) + `_KEY}"`,
		"#\t}",
		"auth per_user_headers",
	}
}

func (s *Suggestion) write(upstream string, lines []string) {
	var b strings.Builder
	fmt.Fprintf(&b, "server %s %s %s", s.ID, s.Path, upstream)
	if len(lines) > 0 {
		b.WriteString(" {\n")
		for _, line := range lines {
			b.WriteString("\t" + line + "\n")
		}
		b.WriteString("}")
	}
	s.Block = b.String() + "\n"
}

// notInIDs is what an id cannot have in it.
var notInIDs = regexp.MustCompile(`[^a-z0-9]+`)

// commonLabels are those of a host name that do not say whose it is.
var commonLabels = map[string]bool{"mcp": true, "api": true, "www": true, "mcp-server": true, "server": true}

// nameOf returns what a server may be called, from its address.
func nameOf(u *url.URL) string {
	labels := strings.Split(strings.ToLower(u.Hostname()), ".")
	if _, err := netip.ParseAddr(u.Hostname()); err == nil || len(labels) == 1 {
		labels = strings.Split(strings.ToLower(strings.Trim(u.Path, "/")), "/")
	} else {
		labels = labels[:len(labels)-1]
	}
	for _, label := range labels {
		if name := strings.Trim(notInIDs.ReplaceAllString(label, "-"), "-"); name != "" && !commonLabels[name] {
			return name
		}
	}
	return "mine"
}

package consent

import (
	"errors"
	"net/http"
	"slices"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
)

// submit ends the flow as the person decided, and sends the browser back to
// the client. It grants only to the identity that the page showed.
func (c *Consent) submit(w http.ResponseWriter, r *http.Request, f *authz.Flow) error {
	if f.Identity == nil {
		return c.askAgain(w, f, "")
	}
	if !shown(r, *f.Identity) || !c.stillUser(r, *f.Identity) {
		return c.changed(f)
	}
	var err error
	switch r.PostForm.Get("decision") {
	case "approve":
		err = c.approve(w, r, f)
	case "deny":
		err = c.deny(w, r, f)
	default:
		return refuse(http.StatusBadRequest, c.pages.text.BadRequest)
	}
	if errors.Is(err, authz.ErrFlowChanged) {
		return c.changed(f)
	}
	return err
}

func (c *Consent) approve(w http.ResponseWriter, r *http.Request, f *authz.Flow) error {
	resources := r.PostForm["resource"]
	if len(resources) == 0 {
		c.redirect(w, pageURL(authz.ServicesPath, f, codeNoServer))
		return nil
	}
	standing, err := c.standingIn(r.Context(), f)
	if err != nil {
		return err
	}
	if missing := c.missing(f, resources, standing); missing != "" {
		c.redirect(w, pageURL(authz.ServicesPath, f, codeRequired,
			"server", missing, "chosen", chosenIDs(c.as.Servers(f), resources)))
		return nil
	}
	url, err := c.finish(w, r, f, authz.Approval{Resources: resources, Connected: connected(standing)})
	if err != nil {
		return err
	}
	c.redirect(w, url)
	return nil
}

// finish ends the flow with a grant. Where people connect something, it signs
// them in to the account and connect pages too: a link to connect must find
// whom it was made for. Elsewhere a browser session would serve nobody.
func (c *Consent) finish(w http.ResponseWriter, r *http.Request, f *authz.Flow, a authz.Approval) (string, error) {
	if c.broker == nil {
		return c.as.Approve(r.Context(), f, a)
	}
	return c.as.ApproveAndSignIn(w, r, f, a)
}

// missing returns a server that the person chose and must connect first, if
// there is one.
func (c *Consent) missing(f *authz.Flow, resources []string, standing map[string]accounts.Status) string {
	for _, s := range c.as.Servers(f) {
		u := c.perUser(s.ID)
		if u != nil && u.Required && slices.Contains(resources, s.Resource) && !works(standing[s.ID]) {
			return s.ID
		}
	}
	return ""
}

func connected(standing map[string]accounts.Status) []string {
	var servers []string
	for server, status := range standing {
		if works(status) {
			servers = append(servers, server)
		}
	}
	return servers
}

func (c *Consent) deny(w http.ResponseWriter, r *http.Request, f *authz.Flow) error {
	if err := c.discard(r.Context(), f); err != nil {
		return err
	}
	url, err := c.as.Deny(r.Context(), f)
	if err != nil {
		return err
	}
	c.redirect(w, url)
	return nil
}

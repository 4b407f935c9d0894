package consent

import (
	"errors"
	"net/http"
	"slices"

	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/upstream"
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
	url, err := c.as.Approve(r.Context(), f, authz.Approval{Resources: resources, Connected: connected(standing)})
	if err != nil {
		return err
	}
	c.remember(w, r, f)
	c.redirect(w, url)
	return nil
}

// remember signs the person in to the connect and account pages of a site
// where people connect something: a link to connect must find whom it was made
// for. Elsewhere it would only cost a write to disk. The grant stands whether
// or not it succeeds.
func (c *Consent) remember(w http.ResponseWriter, r *http.Request, f *authz.Flow) {
	if c.broker == nil {
		return
	}
	if err := c.as.SignIn(w, r, *f.Identity); err != nil {
		c.log.Error("remembering the browser failed", zap.Error(err))
	}
}

// missing returns a server that the person chose and must connect first, if
// there is one.
func (c *Consent) missing(f *authz.Flow, resources []string, standing map[string]upstream.Status) string {
	for _, s := range c.as.Servers(f) {
		u := c.perUser(s.ID)
		if u != nil && u.Required && slices.Contains(resources, s.Resource) && !works(standing[s.ID]) {
			return s.ID
		}
	}
	return ""
}

func connected(standing map[string]upstream.Status) []string {
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

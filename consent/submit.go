package consent

import (
	"errors"
	"net/http"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
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
	var url string
	var err error
	switch r.PostForm.Get("decision") {
	case "approve":
		resources := r.PostForm["resource"]
		if len(resources) == 0 {
			c.redirect(w, pageURL(authz.ServicesPath, f, codeNoServer))
			return nil
		}
		url, err = c.as.Approve(r.Context(), f, resources)
	case "deny":
		url, err = c.as.Deny(r.Context(), f)
	default:
		return refuse(http.StatusBadRequest, c.pages.text.BadRequest)
	}
	if errors.Is(err, authz.ErrFlowChanged) {
		return c.changed(f)
	}
	if err != nil {
		return err
	}
	c.redirect(w, url)
	return nil
}

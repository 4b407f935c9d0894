package consent

import (
	"errors"
	"mime"
	"net/http"
	"net/url"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
)

// maxForm is how many bytes a form may have.
const maxForm = 64 << 10

// form serves what one of a flow's forms is sent to. accept sees only forms
// that our page made, for this flow, in this browser.
func (c *Consent) form(accept func(http.ResponseWriter, *http.Request, *authz.Flow) error) http.Handler {
	return c.posted(func(w http.ResponseWriter, r *http.Request) error {
		f, err := c.as.OpenFlow(r, r.PostForm.Get("flow_id"))
		if err != nil {
			return err
		}
		return accept(w, r, f)
	})
}

// page serves a page of a flow.
func (c *Consent) page(show func(http.ResponseWriter, *http.Request, *authz.Flow) error) http.Handler {
	return c.loaded(func(w http.ResponseWriter, r *http.Request) error {
		f, err := c.as.OpenFlow(r, r.URL.Query().Get("flow_id"))
		if err != nil {
			return err
		}
		return show(w, r, f)
	})
}

// posted serves forms that did not come from another site.
func (c *Consent) posted(accept func(http.ResponseWriter, *http.Request) error) http.Handler {
	return c.guard(func(w http.ResponseWriter, r *http.Request) error {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			return refuse(http.StatusMethodNotAllowed, c.pages.text.WrongMethod)
		}
		if err := c.cross.Check(r); err != nil {
			return refuse(http.StatusForbidden, c.pages.text.Forged).because(err)
		}
		if err := c.parseForm(w, r); err != nil {
			return err
		}
		return accept(w, r)
	})
}

// loaded serves pages. Their query has no parameter twice.
func (c *Consent) loaded(show func(http.ResponseWriter, *http.Request) error) http.Handler {
	return c.guard(func(w http.ResponseWriter, r *http.Request) error {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			return refuse(http.StatusMethodNotAllowed, c.pages.text.WrongMethod)
		}
		query, err := url.ParseQuery(r.URL.RawQuery)
		if err != nil || repeats(query) {
			return refuse(http.StatusBadRequest, c.pages.text.Invalid)
		}
		return show(w, r)
	})
}

// guard refuses to be framed and turns errors into pages.
func (c *Consent) guard(serve func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := c.framed(r)
		if err == nil {
			err = serve(w, r)
		}
		if err != nil {
			c.fail(w, err)
		}
	})
}

// framed refuses requests of browsers that would put the answer inside another
// page. Older ones do not say so, and are stopped by frame-ancestors.
func (c *Consent) framed(r *http.Request) error {
	switch r.Header.Get("Sec-Fetch-Dest") {
	case "iframe", "frame", "embed", "object", "fencedframe":
		return refuse(http.StatusForbidden, c.pages.text.Framed)
	}
	return nil
}

// parseForm fills r.PostForm, which holds what the body says and nothing of
// the query. Only the choice of servers may have several values.
func (c *Consent) parseForm(w http.ResponseWriter, r *http.Request) error {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/x-www-form-urlencoded" {
		return refuse(http.StatusBadRequest, c.pages.text.BadRequest)
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return refuse(http.StatusRequestEntityTooLarge, c.pages.text.TooLarge)
		}
		return refuse(http.StatusBadRequest, c.pages.text.BadRequest).because(err)
	}
	if repeats(r.PostForm, "resource") {
		return refuse(http.StatusBadRequest, c.pages.text.BadRequest)
	}
	return nil
}

// repeats reports whether a parameter other than the one named occurs twice.
func repeats(values url.Values, except ...string) bool {
	for name, all := range values {
		if len(all) > 1 && (len(except) == 0 || name != except[0]) {
			return true
		}
	}
	return false
}

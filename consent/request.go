package consent

import (
	"errors"
	"mime"
	"net/http"
	"net/url"
	"slices"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/flows"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/persons"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/sessions"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/pages"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/tools"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// maxForm is how many bytes a form may have.
const maxForm = 64 << 10

// web takes what browsers send, unless another site made them send it, and
// answers with pages, errors too.
type web struct {
	pages  *pages.Pages
	events *event.Recorder
	cross  http.CrossOriginProtection
}

type (
	handler      func(http.ResponseWriter, *http.Request) error
	flowHandler  func(http.ResponseWriter, *http.Request, *flows.Flow) error
	visitHandler func(http.ResponseWriter, *http.Request, *sessions.Session) error
)

// post serves forms that did not come from another site.
func (c *web) post(accept handler) http.Handler {
	return c.guard(func(w http.ResponseWriter, r *http.Request) error {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			return refuse(http.StatusMethodNotAllowed, "wrong_method", c.pages.Text().WrongMethod)
		}
		if err := c.cross.Check(r); err != nil {
			return refuse(http.StatusForbidden, "forged", c.pages.Text().Forged).because(err)
		}
		if err := c.parseForm(w, r); err != nil {
			return err
		}
		return accept(w, r)
	})
}

// get serves pages. Their query has no parameter twice.
func (c *web) get(show handler) http.Handler {
	return c.guard(func(w http.ResponseWriter, r *http.Request) error {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			return refuse(http.StatusMethodNotAllowed, "wrong_method", c.pages.Text().WrongMethod)
		}
		query, err := url.ParseQuery(r.URL.RawQuery)
		if err != nil || repeats(query) {
			return refuse(http.StatusBadRequest, "bad_query", c.pages.Text().Invalid)
		}
		return show(w, r)
	})
}

// answered serves what a browser is sent to from elsewhere with an answer. What
// is no answer gets what malformed returns.
func (c *web) answered(malformed func() error, serve func(http.ResponseWriter, *http.Request, url.Values) error) http.Handler {
	return c.guard(func(w http.ResponseWriter, r *http.Request) error {
		if r.Method != http.MethodGet {
			w.Header().Set("Allow", http.MethodGet)
			return refuse(http.StatusMethodNotAllowed, "wrong_method", c.pages.Text().WrongMethod)
		}
		query, err := url.ParseQuery(r.URL.RawQuery)
		if err != nil || repeats(query) {
			return malformed()
		}
		return serve(w, r, query)
	})
}

// guard refuses to be framed and turns errors into pages.
func (c *web) guard(serve handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		event.Learn(r.Context(), event.Event{By: event.ByPerson})
		var err error
		if isFramed(r) {
			err = refuse(http.StatusForbidden, "framed", c.pages.Text().Framed)
		} else {
			err = serve(w, r)
		}
		if err != nil {
			c.fail(w, r, err)
		}
	})
}

// isFramed reports whether the browser would put the answer inside another
// page. Older ones do not say so, and are stopped by frame-ancestors.
func isFramed(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Dest") {
	case "iframe", "frame", "embed", "object", "fencedframe":
		return true
	}
	return false
}

// parseForm fills r.PostForm, which holds what the body says and nothing of
// the query. Only choices of servers and scopes may have several values.
func (c *web) parseForm(w http.ResponseWriter, r *http.Request) error {
	t := c.pages.Text()
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/x-www-form-urlencoded" {
		return refuse(http.StatusBadRequest, "bad_form", t.BadRequest)
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return refuse(http.StatusRequestEntityTooLarge, "too_large", t.TooLarge)
		}
		return refuse(http.StatusBadRequest, "bad_form", t.BadRequest).because(err)
	}
	if repeats(r.PostForm, "resource", "scope", tools.Field) {
		return refuse(http.StatusBadRequest, "bad_form", t.BadRequest)
	}
	return nil
}

// repeats reports whether a parameter other than those named occurs twice.
func repeats(values url.Values, except ...string) bool {
	for name, all := range values {
		if len(all) > 1 && !slices.Contains(except, name) {
			return true
		}
	}
	return false
}

// requests finds out what a request is about before a handler sees it: the
// flow, or the browser session.
type requests struct {
	*web
	flows    *flows.Flows
	sessions *sessions.Sessions
	persons  *persons.Persons
	cfg      *config.Site
}

// page serves a page of a flow.
func (c *requests) page(show flowHandler) http.Handler {
	return c.get(func(w http.ResponseWriter, r *http.Request) error {
		f, err := c.open(r, r.URL.Query().Get("flow_id"), c.flows.Open)
		if err != nil {
			return err
		}
		return show(w, r, f)
	})
}

// form serves what one of a flow's forms is sent to. accept sees only forms
// that our page made, for this flow, in this browser.
func (c *requests) form(accept flowHandler) http.Handler {
	return c.post(func(w http.ResponseWriter, r *http.Request) error {
		open := c.flows.Open
		if tools.Read(r.PostForm).HasTicks() { // what was ticked the last time can be ticked again
			open = c.flows.OpenWithLastGrant
		}
		f, err := c.open(r, r.PostForm.Get("flow_id"), open)
		if err != nil {
			return err
		}
		return accept(w, r, f)
	})
}

// open returns the flow that a request is in, which its events then name.
func (c *requests) open(r *http.Request, flowID string, open func(*http.Request, string) (*flows.Flow, error)) (*flows.Flow, error) {
	f, err := open(r, flowID)
	if err == nil {
		learnFlow(r, f)
	}
	return f, err
}

// learnFlow has the events of a request name its flow, and who is in it.
func learnFlow(r *http.Request, f *flows.Flow) {
	known := event.Event{Flow: flows.PublicID(f.ID), Client: f.Client.ID, ClientName: f.Client.Metadata.ClientName}
	if f.Identity != nil {
		known.Person, known.Identity = f.Identity.Subject, f.Identity.Kind
	}
	event.Learn(r.Context(), known)
}

// learnPerson has the events of a request name who it is from.
func learnPerson(r *http.Request, id storage.Identity) {
	event.Learn(r.Context(), event.Event{Person: id.Subject, Identity: id.Kind})
}

// visit serves a page outside of flows.
func (c *requests) visit(show visitHandler) http.Handler { return c.get(c.inSession(show)) }

// act serves what one of its forms is sent to. accept sees only forms that our
// page made, in this browser.
func (c *requests) act(accept visitHandler) http.Handler { return c.post(c.inSession(accept)) }

// anybody is act for a form to which it is all the same who uses the browser.
func (c *requests) anybody(accept handler) http.Handler {
	return c.post(func(w http.ResponseWriter, r *http.Request) error {
		if err := c.sessions.CheckForm(r); err != nil {
			return c.forged(err)
		}
		return accept(w, r)
	})
}

// forged explains sessions.ErrForged.
func (c *requests) forged(err error) error {
	t := c.pages.Text()
	return refuse(http.StatusForbidden, "forged", t.Forged).next(t.ForgedNext).backTo(accountPath).because(err)
}

// inSession opens the browser session. One of a person whom each request
// authenticates is good only while the request is theirs.
func (c *requests) inSession(serve visitHandler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		s, err := c.sessions.Open(w, r)
		if errors.Is(err, sessions.ErrForged) {
			return c.forged(err)
		}
		if err != nil {
			return err
		}
		if s.Identity == nil {
			return serve(w, r, s)
		}
		m := c.cfg.SignIn.Of(s.Identity.Kind)
		switch {
		case !c.cfg.SignIn.IsCurrent(r, *s.Identity):
			s.Identity = nil
		case m != nil && m.Current != nil: // this request proves it
			if err := c.persons.ProvedAgain(r.Context(), *s.Identity); err != nil {
				return err
			}
		}
		if s.Identity != nil {
			learnPerson(r, *s.Identity)
		}
		return serve(w, r, s)
	}
}

// signedIn serves only people who are signed in.
func (c *requests) signedIn(serve visitHandler) visitHandler {
	return func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
		if s.Identity == nil {
			return signedOut(c.pages.Text())
		}
		return serve(w, r, s)
	}
}

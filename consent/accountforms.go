package consent

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
)

// connect begins to connect a server, from the account page or a connect link.
func (c *Consent) connect(w http.ResponseWriter, r *http.Request, s *authz.Session) error {
	g, err := c.goalFrom(r.Context(), s, r.PostForm)
	if err != nil {
		return err
	}
	return c.depart(w, r, g)
}

func (c *Consent) showKey(w http.ResponseWriter, r *http.Request, s *authz.Session) error {
	query := r.URL.Query()
	g, err := c.goalFrom(r.Context(), s, query)
	if err != nil {
		return err
	}
	return c.showKeyPage(w, r, g, keyForm{
		fields: fields{Ticket: query.Get("ticket"), CSRFToken: s.CSRFToken, FormsPath: accountKeyPath},
	})
}

func (c *Consent) paste(w http.ResponseWriter, r *http.Request, s *authz.Session) error {
	g, err := c.goalFrom(r.Context(), s, r.PostForm)
	if err != nil {
		return err
	}
	return c.keepKeys(w, r, g)
}

// goalFrom returns what the person wants to connect: what a link is for, or a
// server of the account page.
func (c *Consent) goalFrom(ctx context.Context, s *authz.Session, values url.Values) (goal, error) {
	ticket := values.Get("ticket")
	if ticket == "" {
		if s.Identity == nil {
			return goal{}, c.signedOut()
		}
		server := values.Get("server")
		g, err := c.goalOfPerson(s, server)
		g.returnTo = withQuery(AccountPath, "server", server)
		g.keyPage = withQuery(accountKeyPath, "server", server)
		return g, err
	}
	link, err := c.openLink(ctx, ticket)
	if err != nil {
		return goal{}, err
	}
	g, err := c.goalOfLink(s, link)
	g.returnTo = withQuery(authz.ConnectPath+ticket, "server", link.Server, "done", "1")
	g.keyPage = withQuery(accountKeyPath, "server", link.Server, "ticket", ticket)
	return g, err
}

// disconnect ends a connection, also to a server that the person may not use
// any more.
func (c *Consent) disconnect(w http.ResponseWriter, r *http.Request, s *authz.Session) error {
	server := r.PostForm.Get("server")
	if c.perUser(server) == nil {
		return c.notHere()
	}
	if err := c.broker.Disconnect(r.Context(), s.Identity.Subject, server); err != nil {
		return c.comeBack(w, withQuery(AccountPath, "server", server), err)
	}
	c.redirect(w, AccountPath)
	return nil
}

// revoke ends what a client was granted. What had ended already is as gone as
// the person wants it.
func (c *Consent) revoke(w http.ResponseWriter, r *http.Request, s *authz.Session) error {
	if err := c.as.RevokeGrantOf(r.Context(), s.Identity.Subject, r.PostForm.Get("grant")); err != nil && !errors.Is(err, authz.ErrNoSuchGrant) {
		return err
	}
	c.redirect(w, AccountPath)
	return nil
}

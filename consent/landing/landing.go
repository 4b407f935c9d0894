// Package landing is the pages for people who open, in a browser, an address
// that is made for applications: the URL of an MCP server, or the site itself.
// They say what is here and how to add it to an application.
//
// They are for strangers: they read no cookie and no record, and tell nothing
// that the metadata of the site does not tell everybody.
package landing

import (
	"fmt"
	"net/http"

	"github.com/mcpoauth/caddy-mcp-oauth/consent/pages"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// AccountPath is where people look after what they let in.
const AccountPath = "/oauth/account"

// Landing is the pages of one site.
type Landing struct {
	cfg   *config.Site
	pages *pages.Pages
}

// New returns the pages of a site.
func New(cfg *config.Site, p *pages.Pages) *Landing { return &Landing{cfg, p} }

// Server returns the page at the URL of a server. Its status is that of the
// challenge it comes with: whatever takes it for more than a page asks for a
// token.
func (l *Landing) Server(s *config.Server) http.Handler {
	t := l.pages.Text()
	return l.page(http.StatusUnauthorized, view{
		Frame: l.pages.Frame(s.Title), Lead: t.ServerLead, Address: s.Resource, Clients: clientsOf(s), AccountURL: AccountPath,
	})
}

// Front returns the page of the site itself. A site with one server shows that
// one, as its metadata does; which of several there are is for people who are
// signed in.
func (l *Landing) Front() http.Handler {
	t := l.pages.Text()
	v := view{Frame: l.pages.Frame(fmt.Sprintf(t.FrontTitle, l.cfg.Branding.Name)), Lead: t.FrontLead, AccountURL: AccountPath}
	if len(l.cfg.Servers) == 1 {
		s := l.cfg.Servers[0]
		v.Frame.Title, v.Lead, v.Address, v.Clients = s.Title, t.ServerLead, s.Resource, clientsOf(s)
	}
	return l.page(http.StatusOK, v)
}

// view is what a page shows.
type view struct {
	pages.Frame
	Lead       string
	Address    string // of the server, empty if the page is about none
	Clients    []clientView
	AccountURL string
}

type clientView struct {
	Name   string
	Before []segment
	Copy   string
	After  []segment
}

func clientsOf(s *config.Server) []clientView {
	var views []clientView
	for _, c := range Clients(s.ID, s.Resource) {
		views = append(views, clientView{c.Name, segments(c.Before), c.Copy, segments(c.After)})
	}
	return views
}

func (l *Landing) page(status int, v view) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if err := l.pages.Render(w, status, "landing", v); err != nil {
			http.Error(w, l.pages.Text().Unavailable, http.StatusInternalServerError)
		}
	})
}

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
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/consent/pages"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// AccountPath is where people look after what they let in.
const AccountPath = "/oauth/account"

// Landing is the pages of one site.
type Landing struct {
	pages *pages.Pages
	// Front is the page of the site itself. A site with one server shows that
	// one, as its metadata does; which of several there are is for people who are
	// signed in.
	Front http.Handler
	// Servers are the pages at the URLs of servers, by id. Their status is that of
	// the challenge that they come with: whatever takes one for more than a page
	// asks for a token.
	Servers map[string]http.Handler
}

// New returns the pages of a site.
func New(cfg *config.Site, p *pages.Pages) (*Landing, error) {
	t, l := p.Text(), &Landing{pages: p, Servers: map[string]http.Handler{}}
	front := view{Frame: p.Frame(fmt.Sprintf(t.FrontTitle, cfg.Branding.Name)), Lead: t.FrontLead, AccountURL: AccountPath}
	for _, s := range cfg.Servers {
		v := l.of(s)
		page, err := p.Static(http.StatusUnauthorized, "landing", v)
		if err != nil {
			return nil, err
		}
		if l.Servers[s.ID] = page; len(cfg.Servers) == 1 {
			front = v
		}
	}
	var err error
	l.Front, err = p.Static(http.StatusOK, "landing", front)
	return l, err
}

// of returns what is shown of a server.
func (l *Landing) of(s *config.Server) view {
	return view{Frame: l.pages.Frame(s.Title), Lead: l.pages.Text().ServerLead, Address: s.Resource, Clients: clientsOf(s), AccountURL: AccountPath}
}

// ForAccount returns the page at the URL of an account, which is made when somebody
// opens it: anybody can, of any name.
func (l *Landing) ForAccount(s *config.Server) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page, err := l.pages.Static(http.StatusUnauthorized, "landing", l.of(s))
		if err != nil { // those of the servers could be made
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		page.ServeHTTP(w, r)
	})
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
	for _, c := range Clients(strings.ReplaceAll(s.ID, "/", "-"), s.Resource) { // some take no slash in a name
		views = append(views, clientView{c.Name, segments(c.Before), c.Copy, segments(c.After)})
	}
	return views
}

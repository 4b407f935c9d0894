package adminapi

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/virtualkeys"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const PeoplePath = "/mcp_oauth/people"

var personRoutes = []route{{
	method: http.MethodGet, path: PeoplePath,
	about:  "Who has something here: a valid grant, a connection, a browser session, or what an identity provider says of them.",
	query:  []parameter{siteParameter, limitParameter, afterParameter},
	answer: People{}, fails: []int{http.StatusNotFound}, serve: listPeople,
}, {
	method: http.MethodGet, path: PeoplePath + "/{subject}",
	about:  "All that one of them has, at all sites or at one.",
	query:  []parameter{siteParameter},
	answer: Person{}, fails: []int{http.StatusNotFound}, serve: showPerson,
}, {
	method: http.MethodDelete, path: PeoplePath,
	about: "Ends all that a person has at all sites of the running configuration: grants, browser sessions, " +
		"sign-ins and ways to providers under way; with `connections`, also their connected accounts. " +
		"If it fails half way, asking again ends the rest.",
	query: []parameter{
		siteParameter,
		{name: "subject", required: true, about: "Who shall leave, as `virtual_key:alice`."},
		{name: "connections", kind: flagKind, about: "Whether to end their connected accounts too, also at the providers."},
	},
	answer: EndedPerson{}, fails: []int{http.StatusNotFound}, serve: endPerson,
}}

// EndedPerson is what an operator ended of a person.
type EndedPerson struct {
	Subject     string   `json:"subject"`
	Grants      []string `json:"grants"`      // ids of those that were ended
	Connections []string `json:"connections"` // ids of those that were ended
}

func endPerson(c *call) (any, error) {
	ended := EndedPerson{Subject: c.query.Get("subject"), Grants: []string{}, Connections: []string{}}
	if err := c.checkSubject(ended.Subject); err != nil {
		return nil, err
	}
	_, sites, err := c.at(c.query.Get("site"))
	if err != nil {
		return nil, err
	}
	for _, s := range sites {
		if err := s.endPerson(c.Context(), &ended, c.is("connections")); err != nil {
			return nil, failure(err)
		}
	}
	return ended, nil
}

// PersonInList is somebody who has something at a site.
type PersonInList struct {
	Site    string `json:"site"`
	Subject string `json:"subject"`         // begins with the way to sign in
	Name    string `json:"name,omitempty"`  // as the identity provider says, which may be that of others too
	Email   string `json:"email,omitempty"` // as the identity provider says
}

// People are a page of people, once for each site.
type People struct {
	People []PersonInList `json:"people"`
	Next   string         `json:"next,omitempty"` // the `after` to go on with; none after the last
}

func listPeople(c *call) (any, error) {
	operator, sites, err := c.at(c.query.Get("site"))
	if err != nil {
		return nil, err
	}
	issuers := issuersOf(sites)
	var list People
	list.People, list.Next, err = filtered(c, func(after string, limit int) ([]PersonInList, string, error) {
		found, next, err := operator.Store.Subjects(c.Context(), after, limit, time.Now())
		people := make([]PersonInList, len(found))
		for i, s := range found {
			people[i] = PersonInList{Site: s.Issuer, Subject: s.Subject}
		}
		return people, next, err
	}, func(p *PersonInList) bool { return slices.Contains(issuers, p.Site) })
	if err != nil {
		return nil, err
	}
	for i := range list.People {
		p := &list.People[i]
		record, err := operator.Store.Person(c.Context(), p.Site, p.Subject, time.Now())
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			return nil, failure(err)
		}
		if p.Name = record.Name; record.Claims != nil {
			p.Email = record.Claims.Email
		}
	}
	return list, nil
}

// Person is all that somebody has.
type Person struct {
	Subject string         `json:"subject"`
	Sites   []PersonAtSite `json:"sites"` // where they have something
}

// PersonAtSite is all that somebody has at a site.
type PersonAtSite struct {
	Site       string    `json:"site"`
	Name       string    `json:"name,omitempty"`  // what they are called there
	Email      string    `json:"email,omitempty"` // as the identity provider says
	Groups     []string  `json:"groups,omitempty"`
	SignedInAt time.Time `json:"signed_in_at,omitzero"` // at the identity provider, the last time
	VerifiedAt time.Time `json:"verified_at,omitzero"`  // when the identity provider last said that all this is so
	Key        *Key      `json:"key,omitempty"`         // their virtual key
	// AccountsEndAt is when their connections end, if nobody is kept here who has
	// them any more: unless they sign in again before.
	AccountsEndAt time.Time    `json:"accounts_end_at,omitzero"`
	Grants        []Grant      `json:"grants"`
	Connections   []Connection `json:"connections"`
	Sessions      []Session    `json:"browser_sessions"`
}

// Session is a browser that somebody is signed in with at the pages.
type Session struct {
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
}

func showPerson(c *call) (any, error) {
	person := Person{Subject: c.named["subject"], Sites: []PersonAtSite{}}
	if err := c.checkSubject(person.Subject); err != nil {
		return nil, err
	}
	operator, sites, err := c.at(c.query.Get("site"))
	if err != nil {
		return nil, err
	}
	for _, s := range sites {
		there, found, err := operator.personAt(c.Context(), s, person.Subject)
		if err != nil {
			return nil, failure(err)
		}
		if found {
			person.Sites = append(person.Sites, there)
		}
	}
	if len(person.Sites) == 0 {
		return nil, apiError(http.StatusNotFound, "nobody called "+strconv.Quote(person.Subject)+" has anything here")
	}
	return person, nil
}

// personAt returns all that somebody has at a site, and whether that is anything.
func (o *Operator) personAt(ctx context.Context, s *Site, subject string) (p PersonAtSite, found bool, err error) {
	now := time.Now()
	p.Site = s.Issuer
	record, err := o.Store.Person(ctx, s.Issuer, subject, now)
	switch {
	case err == nil:
		found, p.Name, p.SignedInAt, p.VerifiedAt = true, record.Name, record.SignedInAt, record.VerifiedAt
		if record.Claims != nil {
			p.Email, p.Groups = record.Claims.Email, record.Claims.Groups
		}
	case !errors.Is(err, storage.ErrNotFound):
		return p, false, err
	}
	grants, err := o.Store.GrantsOf(ctx, s.Issuer, subject, now)
	if err != nil {
		return p, false, err
	}
	sessions, err := o.Store.BrowserSessionsOf(ctx, s.Issuer, subject, now)
	if err != nil {
		return p, false, err
	}
	p.Grants, p.Connections, p.Sessions = describeGrants(grants), []Connection{}, []Session{}
	for _, b := range sessions {
		p.Sessions, p.Name = append(p.Sessions, Session{b.CreatedAt, b.ExpiresAt}), cmp.Or(p.Name, b.Identity.Name)
	}
	for _, g := range grants {
		p.Name = cmp.Or(p.Name, g.Identity.Name)
	}
	if s.Accounts != nil {
		connections, err := s.Accounts.OverviewsOf(ctx, subject)
		if err != nil {
			return p, false, err
		}
		p.Connections = describeAll(s, connections)
		if len(connections) > 0 {
			if p.AccountsEndAt, err = s.Accounts.AccountsEndAt(ctx, subject); err != nil {
				return p, false, err
			}
		}
	}
	if p.Key, err = s.keyOf(ctx, subject); err != nil {
		return p, false, err
	}
	return p, found || p.Key != nil || len(p.Grants)+len(p.Connections)+len(p.Sessions) > 0, nil
}

// keyOf returns the virtual key of a subject, or nil.
func (s *Site) keyOf(ctx context.Context, subject string) (*Key, error) {
	all, err := s.Keys.List(ctx)
	i := slices.IndexFunc(all, func(k virtualkeys.Key) bool { return identity.SubjectOfKey(k.Name) == subject })
	if err != nil || i < 0 {
		return nil, err
	}
	if err := s.Keys.AddLastUses(ctx, all[i:i+1]); err != nil {
		return nil, err
	}
	key := describeKey(s.Issuer, all[i])
	return &key, nil
}

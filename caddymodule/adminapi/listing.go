package adminapi

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// How much one page looks at, however few of the entries are meant: each read of the
// store counts as lookOnce and what it found.
const (
	maxLook  = 4096
	lookOnce = maxLook / 16
)

// page reads a page of a list that each site has, from site to site. read returns
// up to limit entries of a site from the first one behind after, and where to go on;
// meant reports whether an entry is one of those that were asked for.
func page[T any](c *call, sites []*Site, read func(s *Site, after string, limit int) ([]T, string, error), meant func(*T) bool) (list []T, next string, err error) {
	list = []T{}
	from, after, _ := strings.Cut(c.query.Get("after"), " ") // a public URL has no space
	limit, looked := c.limit(), 0
	for i, s := range sites {
		if s.Issuer < from {
			continue
		}
		if s.Issuer > from {
			after = ""
		}
		for {
			found, rest, err := read(s, after, limit-len(list))
			if err != nil {
				return nil, "", failure(err)
			}
			for j := range found {
				if meant(&found[j]) {
					list = append(list, found[j])
				}
			}
			looked, after = looked+lookOnce+len(found), rest
			switch full := len(list) == limit || looked >= maxLook; {
			case full && rest != "":
				return list, s.Issuer + " " + rest, nil
			case full && i+1 < len(sites):
				return list, sites[i+1].Issuer + " ", nil
			}
			if rest == "" {
				break
			}
		}
	}
	return list, "", nil
}

// filtered is page for a list of all sites.
func filtered[T any](c *call, read func(after string, limit int) ([]T, string, error), meant func(*T) bool) (list []T, next string, err error) {
	list, next = []T{}, c.query.Get("after")
	for looked := 0; ; {
		found, rest, err := read(next, c.limit()-len(list))
		if err != nil {
			return nil, "", failure(err)
		}
		for i := range found {
			if meant(&found[i]) {
				list = append(list, found[i])
			}
		}
		looked, next = looked+lookOnce+len(found), rest
		if rest == "" || len(list) == c.limit() || looked >= maxLook {
			return list, next, nil
		}
	}
}

// part is a part of a list that is in memory, as page reads it: after is how many
// entries were before.
func part[T any](all []T, after string, limit int) ([]T, string, error) {
	begin := 0
	if after != "" {
		var err error
		if begin, err = strconv.Atoi(after); err != nil || begin < 0 || begin > len(all) {
			return nil, "", storage.ErrPlace
		}
	}
	if end := begin + limit; end < len(all) {
		return all[begin:end], strconv.Itoa(end), nil
	}
	return all[begin:], "", nil
}

// checkServer fails if there is a filter for a server that no site has, and nothing
// was found: whoever misspells an id must not take it for nothing.
func (c *call) checkServer(found int) error {
	id := c.query.Get("server")
	if id == "" || found > 0 || c.query.Get("after") != "" {
		return nil
	}
	return c.hasServer(id)
}

// hasServer fails if none of the sites that are meant has a server, whether or not
// accounts are connected there.
func (c *call) hasServer(id string) error {
	_, sites, err := c.at(c.query.Get("site"))
	if err != nil {
		return err
	}
	if slices.Contains(serversOf(sites), id) {
		return nil
	}
	return unknownServer(sites, id)
}

// unknownServer says which servers sites have, for want of another.
func unknownServer(sites []*Site, id string) error {
	return apiError(http.StatusNotFound, "there is no server "+strconv.Quote(id)+config.Choice(id, serversOf(sites)))
}

func serversOf(sites []*Site) (ids []string) {
	for _, s := range sites {
		for _, server := range s.Server.Config().Servers {
			if !slices.Contains(ids, server.ID) {
				ids = append(ids, server.ID)
			}
		}
	}
	return ids
}

// checkSubject fails if the parameter is nobody's subject by its form.
func (c *call) checkSubject(subject string) error {
	if _, who, found := strings.Cut(subject, ":"); subject == "" || found && who != "" || subject == storage.SharedOwner {
		return nil
	}
	return apiError(http.StatusBadRequest, strconv.Quote(subject)+" is no subject: it begins with the way to sign in, as virtual_key:alice does")
}

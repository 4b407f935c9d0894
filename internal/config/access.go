package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// The values of Refusals.
const (
	RefusalsPlain   = "plain"
	RefusalsExplain = "explain"
)

// RulesOf are the access rules of a server for items of one kind, by the field that
// has them.
type RulesOf struct {
	Field string
	Kind  access.Kind
	Rules []access.Rule
}

// AccessRules returns all access rules of the server.
func (s *Server) AccessRules() []RulesOf {
	return []RulesOf{{"tools", access.Tool, s.Tools}, {"resources", access.Resource, s.Resources}, {"prompts", access.Prompt, s.Prompts}}
}

// resolveAccess compiles who may use what of the server.
func (s *Server) resolveAccess(path string) error {
	var err error
	if s.People, err = access.ParsePeople(s.Allow); err != nil {
		return Errorf(path+".allow", "%v", err)
	}
	if s.People.Clients() {
		return Errorf(path+".allow", "which client calls is nothing about a person; write client: in a rule of tools, resources or prompts")
	}
	rules := new(access.Rules)
	s.Rules = nil
	for _, of := range s.AccessRules() {
		if of.Rules == nil {
			continue
		}
		s.Rules = rules
		if len(of.Rules) == 0 {
			return Errorf(path+"."+of.Field, "there are no rules; write some, such as `allow *`, or remove it")
		}
		if err := rules.Add(of.Kind, of.Rules); err != nil {
			return ruleError(path+"."+of.Field, err)
		}
	}
	switch s.Refusals {
	case "", RefusalsPlain, RefusalsExplain:
		return nil
	}
	return Errorf(path+".refusals", "%q is neither plain nor explain", s.Refusals)
}

func ruleError(path string, err error) error {
	var e *access.Error
	if !errors.As(err, &e) {
		return Errorf(path, "%v", err)
	}
	path = Index(path, e.Index)
	if e.Field != "" {
		path += "." + e.Field
	}
	return Errorf(path, "%s", e.Text)
}

// checkAccessNames refuses rules that call people by names which others can have.
func checkAccessNames(s *Site, _ Resolver) error {
	for i, server := range s.Servers {
		path := Index("servers", i)
		if err := s.checkNames(path+".allow", server.People); err != nil {
			return err
		}
		for _, of := range server.AccessRules() {
			for at, people := range server.Rules.People(of.Kind) {
				if err := s.checkNames(Index(path+"."+of.Field, at)+".for", people); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (s *Site) checkNames(path string, people *access.People) error {
	unverified := s.SignIn.UnverifiedNames()
	for _, name := range people.Users() {
		kind, _, _ := strings.Cut(name, ":")
		switch isSubject := access.IsSubject(name); {
		case isSubject && unverified.Of(kind) != nil, !isSubject && len(unverified) > 0:
			return Errorf(path, "user:%s: with `identity %s`, anybody can choose the name; use key:, or what an identity provider says of people", name, unverified[0].Kind)
		case !isSubject && !access.IsAddress(name) && !s.hasOwnNames():
			return Errorf(path, "user:%s: several people can have one name here; write their e-mail address, or all of what `caddy mcp-oauth people` shows, such as user:%s:…", name, s.SignIn[0].Kind)
		}
	}
	return nil
}

// hasOwnNames reports whether there are people whose name nobody else can have.
func (s *Site) hasOwnNames() bool {
	return s.UsesVirtualKeys() || slices.ContainsFunc(s.SignIn, func(m identity.Method) bool { return m.NameVerified && !m.NameShared })
}

// needsOfServers is what has to be known of people to say who may use what.
func (s *Site) needsOfServers() identity.Needs {
	var needs identity.Needs
	for _, server := range s.Servers {
		needs.Add(server.People.Needs())
		needs.Add(server.Rules.Needs())
	}
	return needs
}

// NeedsClaims reports whether who may use what of a server depends on what an
// identity provider says of people.
func (s *Site) NeedsClaims(server *Server) bool {
	needs := server.People.Needs()
	needs.Add(server.Rules.Needs())
	return needs.Email || needs.Groups || len(needs.Claims) > 0
}

// Who returns how access rules see whoever calls through a client.
func (s *Site) Who(id *storage.Identity, client string) access.Who {
	who := access.Who{Identity: id, Client: client}
	m := s.SignIn.Of(id.Kind)
	switch {
	case id.Kind == string(identity.VirtualKey), m != nil && m.NameVerified && !m.NameShared:
		who.Name = id.Name
	case m != nil && m.NameVerified && id.Claims != nil:
		who.Name = id.Claims.Email
	}
	return who
}

// Admits reports whether somebody may use a server, as far as its own rules go: what
// the server is for them at all, and whether there is anything of it that they may
// use.
func (s *Site) Admits(server *Server, id *storage.Identity) bool {
	if server.People == nil && server.Rules == nil {
		return true
	}
	who := s.Who(id, "")
	who.AnyClient = true
	isKey := id.Kind == string(identity.VirtualKey) && !server.People.Keys() // which lists its servers itself
	return (isKey || server.People.Match(&who)) && !server.Rules.NothingAtAll(who)
}

// AccessWarnings are what of the access rules can never matter. Each is an *Error.
func (s *Site) AccessWarnings() []error {
	var warnings []error
	for i, server := range s.Servers {
		path := Index("servers", i)
		for _, text := range s.unknownPeople(server.Allow) {
			warnings = append(warnings, Errorf(path+".allow", "%s", text))
		}
		for _, of := range server.AccessRules() {
			for _, w := range access.Warnings(of.Rules) {
				warnings = append(warnings, Errorf(Index(path+"."+of.Field, w.Index), "%s", w.Text))
			}
			for at := range of.Rules {
				for _, text := range s.unknownPeople(of.Rules[at].For) {
					warnings = append(warnings, Errorf(Index(path+"."+of.Field, at), "%s", text))
				}
			}
		}
	}
	return warnings
}

// unknownPeople says which of those whom a rule is for there can be none of.
func (s *Site) unknownPeople(texts []string) (warnings []string) {
	for _, text := range texts {
		switch kind, _, _ := strings.Cut(text, ":"); {
		case slices.Contains([]string{"group", "domain", "email", "claim"}, kind) && !s.knowsClaims():
			warnings = append(warnings, fmt.Sprintf("%s never fits: no identity tells anything of people; add identity oidc or dashboard", text))
		case kind == "key" && !s.UsesVirtualKeys():
			warnings = append(warnings, fmt.Sprintf("%s never fits: there are no virtual keys; add virtual_key or identity virtual_key", text))
		}
	}
	return warnings
}

// knowsClaims reports whether anything is said of people.
func (s *Site) knowsClaims() bool {
	return slices.ContainsFunc(s.Identities, func(id Identity) bool { return id.OIDC != nil || id.Dashboard != nil })
}

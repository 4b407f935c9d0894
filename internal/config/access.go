package config

import (
	"errors"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
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
	if err := s.resolvePins(path + ".pin_tools"); err != nil {
		return err
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

// addScopesOfRules makes the scopes that rules ask for scopes of the server.
func (s *Server) addScopesOfRules(path string) error {
	for _, of := range s.AccessRules() {
		for i, rule := range of.Rules {
			at := Index(path+"."+of.Field, i)
			if rule.Scope != "" {
				switch err := checkScope(at+".scope", rule.Scope); {
				case err != nil:
					return err
				case rule.Scope == oauth.OfflineAccess, strings.HasPrefix(rule.Scope, oauth.ConnectScope("")):
					return Errorf(at+".scope", "%s is no scope that a call can need; choose another name", rule.Scope)
				case !s.HasScope(rule.Scope):
					s.OptionalScopes = append(slices.Clip(s.OptionalScopes), rule.Scope)
				}
			}
			for _, scope := range rule.ProviderScopes {
				if err := checkScope(at+".provider_scopes", scope); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// checkAccessNames refuses rules that call people by names which others can have, and
// those that ask for scopes of accounts that nobody connects.
func checkAccessNames(s *Site, _ Resolver) error {
	for i, server := range s.Servers {
		path := Index("servers", i)
		if err := s.checkNames(path+".allow", server.People); err != nil {
			return err
		}
		for _, of := range server.AccessRules() {
			byOAuth := server.Auth != nil && (server.Auth.Mode == PerUserOAuth || server.Auth.Mode == OAuth)
			for at, rule := range of.Rules {
				if len(rule.ProviderScopes) > 0 && !byOAuth {
					return Errorf(Index(path+"."+of.Field, at)+".provider_scopes", "nobody connects an account for this server by OAuth; remove what is behind =, or add auth per_user_oauth")
				}
			}
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
	isListed := s.SignIn.Lists(*id, server.Configured().ID)
	return (isKey || isListed || server.People.Match(&who)) && !server.Rules.NothingAtAll(who)
}

// AccessWarnings are what of the access rules can never matter. Each is an *Error.
func (s *Site) AccessWarnings() (warnings []error) {
	for i, server := range s.Servers {
		for _, of := range server.AccessRules() {
			for _, w := range access.Warnings(of.Rules) {
				warnings = append(warnings, Errorf(Index(Index("servers", i)+"."+of.Field, w.Index), "%s", w.Text))
			}
		}
	}
	return warnings
}

// UnknownPeople are those in access rules who can be nobody here. Each is an *Error.
func (s *Site) UnknownPeople() (warnings []error) {
	add := func(path string, texts []string) {
		for _, text := range texts {
			if why := nobody(s, text); why != "" {
				warnings = append(warnings, Errorf(path, "%s never fits: %s", text, why))
			}
		}
	}
	for i, server := range s.Servers {
		path := Index("servers", i)
		add(path+".allow", server.Allow)
		for _, of := range server.AccessRules() {
			for at := range of.Rules {
				add(Index(path+"."+of.Field, at), of.Rules[at].For)
			}
		}
	}
	return warnings
}

// UnmatchedNames are the names in access rules that stand for nothing a server has, by
// what listed returns of it; nil if that is not known. Each is an *Error.
func (s *Site) UnmatchedNames(listed func(server string, kind access.Kind) []string) (warnings []error) {
	for i, server := range s.Servers {
		for _, of := range server.AccessRules() {
			if of.Rules == nil || of.Kind == access.Resource { // of which many are in no list
				continue
			}
			names := listed(server.ID, of.Kind)
			if names == nil {
				continue
			}
			for _, w := range access.Unmatched(of.Kind, of.Rules, names) {
				warnings = append(warnings, Errorf(Index(Index("servers", i)+"."+of.Field, w.Index), "%s", w.Text))
			}
		}
	}
	return warnings
}

// nobody says why there can be none of those whom a part of a rule is for, or returns
// "".
func nobody(s *Site, text string) string {
	const (
		nothingTold = "no identity tells anything of people; add identity oidc or dashboard"
		noKeys      = "there are no virtual keys; add virtual_key or identity virtual_key"
	)
	switch kind, name, _ := strings.Cut(text, ":"); {
	case slices.Contains([]string{"group", "domain", "email", "claim"}, kind) && !s.knowsClaims():
		return nothingTold
	case kind == "key" && !s.UsesVirtualKeys():
		return noKeys
	case kind == "client":
		return s.NoClient(name)
	case kind != "user":
	case access.IsSubject(name):
		return s.NobodyIs(name)
	case access.IsAddress(name) && !s.knowsClaims() && !s.hasOwnNames():
		return nothingTold
	}
	return ""
}

// NobodyIs says why a subject can be that of nobody here, or returns "".
func (s *Site) NobodyIs(subject string) string {
	switch kind, name, _ := strings.Cut(subject, ":"); {
	case s.SignIn.OfSubject(subject) != nil, kind == string(identity.VirtualKey) && s.UsesVirtualKeys():
		return ""
	case kind == string(identity.Client):
		return noClient(s.Clients, "client with client_credentials", name, func(c *Client) bool { return c.ClientCredentials })
	case kind == string(identity.Workload):
		return "no identity workload has such a program; write workload:<name of the identity>:<its name>"
	default:
		return "nobody signs in here by such an identity"
	}
}

// knowsClaims reports whether anything is said of people.
func (s *Site) knowsClaims() bool {
	return slices.ContainsFunc(s.Identities, func(id Identity) bool { return id.OIDC != nil || id.Dashboard != nil })
}

package identity

import (
	"encoding/hex"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Kinds of service persons: programs that are persons here, and get tokens for
// themselves without anybody who approves.
const (
	// Client: an OAuth client that the operator configured, with client_credentials.
	Client Kind = "client"
	// Workload: a program for which another system vouches. Each trust has a kind of
	// its own: this, a colon, and the name of the trust.
	Workload Kind = "workload"
)

// IsService reports whether identities of a kind are service persons.
func IsService(kind string) bool {
	return kind == string(Client) || strings.HasPrefix(kind, string(Workload)+":")
}

// IsServiceSubject reports whether a subject is that of a service person.
func IsServiceSubject(subject string) bool {
	kind, _, _ := strings.Cut(subject, ":")
	return kind == string(Client) || kind == string(Workload)
}

// Service returns the service person of a subject, as the configuration knows it now.
func (ms Methods) Service(subject string) (storage.Identity, bool) {
	for i := range ms {
		if ms[i].Named == nil {
			continue
		}
		if id, ok := ms[i].Named(subject); ok {
			return id, true
		}
	}
	return storage.Identity{}, false
}

// OfSubject returns the method by which whoever has a subject signs in, or nil if that
// can be nobody.
func (ms Methods) OfSubject(subject string) *Method {
	for i := range ms {
		name, ok := strings.CutPrefix(subject, string(ms[i].Kind)+":")
		if ok && ms[i].Named != nil {
			_, ok = ms[i].Named(subject)
		}
		if ok && name != "" {
			return &ms[i]
		}
	}
	return nil
}

// Lists reports whether the configuration lists an MCP server for an identity.
func (ms Methods) Lists(id storage.Identity, server string) bool {
	m := ms.Of(id.Kind)
	return m != nil && m.Lists != nil && m.Lists(id, server)
}

// ForPeople returns the methods that the pages offer.
func (ms Methods) ForPeople() Methods {
	return slices.DeleteFunc(slices.Clone(ms), func(m Method) bool { return m.Service })
}

// Service is an OAuth client that gets tokens for itself.
type Service struct {
	ID, Name string
	// Credential is a hash of what the client proves itself with. With another one,
	// what it got before ends.
	Credential storage.Hash
	// Servers are the ids of the MCP servers it may use; none means all.
	Servers []string
}

// Identity returns who the client is, by itself.
func (s *Service) Identity() storage.Identity {
	return storage.Identity{Kind: string(Client), Subject: subject(Client, s.ID), Name: s.Name, Proof: hex.EncodeToString(s.Credential[:4])}
}

// ByClientCredentials is the method of clients that get tokens for themselves.
func ByClientCredentials(services []Service) Method {
	bySubject := make(map[string]*Service, len(services))
	listed := make(map[string]Listed, len(services))
	for i := range services {
		s := &services[i]
		id := s.Identity()
		bySubject[id.Subject] = s
		listed[id.Subject] = Listed{Proof: id.Proof, Servers: slices.Sorted(slices.Values(s.Servers))}
	}
	m := ServiceMethod(Client, "client of this site",
		func(id storage.Identity) bool { l, ok := listed[id.Subject]; return ok && l.Proof == id.Proof },
		func(id storage.Identity) []string { return bySubject[id.Subject].Servers })
	m.Listed = func() map[string]Listed { return listed }
	m.Named = func(subject string) (storage.Identity, bool) {
		s := bySubject[subject]
		if s == nil {
			return storage.Identity{}, false
		}
		return s.Identity(), true
	}
	return m
}

// ServiceMethod returns what is common to the methods of service persons. servers
// returns which MCP servers a valid identity is limited to.
func ServiceMethod(kind Kind, label string, valid func(storage.Identity) bool, servers func(storage.Identity) []string) Method {
	return Method{
		Kind: kind, Service: true, ExcludesStrangers: true, NameVerified: true, NameShared: true, Label: label, Valid: valid,
		MayUse: func(id storage.Identity, server string) bool {
			return valid(id) && (len(servers(id)) == 0 || slices.Contains(servers(id), server))
		},
		Lists: func(id storage.Identity, server string) bool {
			return valid(id) && slices.Contains(servers(id), server)
		},
	}
}

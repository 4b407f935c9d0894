package config

import (
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/spelling"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// VirtualKey is a secret that an operator hands to a person or a program. It
// signs a person in, and works as a bearer token on the MCP servers.
type VirtualKey struct {
	// Name is whom the key stands for. Unique within the site.
	Name string `json:"name"`
	// Key is `sha256:` and the hash of the key in hexadecimal, or a
	// placeholder such as `{env.ALICE_KEY}` for the key itself. A key
	// has at least 16 characters and must be random: it is what protects
	// the person's access.
	Key string `json:"key"`
	// Servers are the ids of the MCP servers the key is good for. Default: all.
	Servers []string `json:"servers,omitempty"`
}

func resolveVirtualKeys(s *Site, resolve Resolver) error {
	names, hashes := map[string]string{}, map[storage.Hash]bool{}
	keys := make([]identity.Key, 0, len(s.VirtualKeys))
	for i, k := range s.VirtualKeys {
		path := Index("virtual_keys", i)
		if err := checkKeyName(path+".name", k.Name, names); err != nil {
			return err
		}
		hash, err := hashSecret(path+".key", "key", k.Key, resolve)
		if err != nil {
			return err
		}
		if err := s.CheckKeyServers(path+".servers", k.Servers); err != nil {
			return err
		}
		if hash == nil {
			continue
		}
		if hashes[*hash] {
			return Errorf(path+".key", "the same key is used twice; give each name its own")
		}
		hashes[*hash] = true
		keys = append(keys, identity.Key{Name: k.Name, Hash: *hash, Servers: k.Servers})
	}
	s.Keys = identity.NewVirtualKeys(keys...)
	return nil
}

// UsesVirtualKeys reports whether the site has virtual keys, or may get some while
// it runs.
func (s *Site) UsesVirtualKeys() bool {
	return len(s.VirtualKeys) > 0 || slices.ContainsFunc(s.Identities, func(id Identity) bool { return id.Kind == identity.VirtualKey })
}

// InFile reports whether the key is in a file, which can change while the site runs.
func (k VirtualKey) InFile() bool { return strings.Contains(k.Key, "{file.") }

// Hash returns the hash of the key as it is now.
func (k VirtualKey) Hash(resolve Resolver) (storage.Hash, error) {
	h, err := hashSecret("", "key", k.Key, resolve)
	if err == nil && h == nil {
		err = Errorf("", "the key is not known yet")
	}
	if err != nil {
		return storage.Hash{}, err
	}
	return *h, nil
}

// checkKeyName refuses names that nobody can tell apart: people read them on
// pages, and servers behind compare them in their own ways. seen are those that
// came before, by what they look like.
func checkKeyName(path, name string, seen map[string]string) error {
	if clean, err := identity.CleanName(name); err != nil || clean != name {
		return Errorf(path, "%q is not a name; use 1 to %d visible characters, without space at the ends", name, identity.MaxName)
	}
	look := spelling.Fold(name)
	other, taken := seen[look]
	seen[look] = name
	switch {
	case taken && other == name:
		return Errorf(path, "the name %s is used twice; give each key its own", name)
	case taken:
		return Errorf(path, "%s looks like the name %s; give each key one that nobody takes for another", name, other)
	}
	return nil
}

// CheckKeyServers refuses ids that are not of servers of the site, each once. A
// key is in no group, so where a server is for some people it must list servers,
// unless these name the keys, too.
func (s *Site) CheckKeyServers(path string, ids []string) error {
	for _, server := range s.Servers {
		if server.People != nil && !server.People.Keys() && len(ids) == 0 {
			return Errorf(path, "server %s is for some people only, and a key is in no group; write the servers that this key is good for", server.ID)
		}
	}
	return s.checkServerIDs(path, ids)
}

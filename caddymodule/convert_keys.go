package caddymodule

import (
	"slices"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

func (h *Handler) convertVirtualKeys(cfg *authz.Config, resolve resolver) error {
	if len(h.VirtualKeys) == 0 {
		return nil
	}
	names, hashes := map[string]string{}, map[storage.Hash]bool{}
	keys := make([]identity.Key, 0, len(h.VirtualKeys))
	for i, k := range h.VirtualKeys {
		path := index("virtual_keys", i)
		if err := checkKeyName(path+".name", k.Name, names); err != nil {
			return err
		}
		hash, err := hashSecret(path+".key", "key", k.Key, resolve)
		if err != nil {
			return err
		}
		if err := checkKeyServers(path+".servers", k.Servers, cfg.Servers); err != nil {
			return err
		}
		if hash == nil {
			continue
		}
		if hashes[*hash] {
			return wrong(path+".key", "the same key is used twice; give each name its own")
		}
		hashes[*hash] = true
		keys = append(keys, identity.Key{Name: k.Name, Hash: *hash, Servers: k.Servers})
	}
	cfg.VirtualKeys = identity.NewVirtualKeys(keys...)
	return nil
}

// checkKeyName refuses names that nobody can tell apart: people read them on
// pages, and servers behind compare them in their own ways. seen are those that
// came before, by what they look like.
func checkKeyName(path, name string, seen map[string]string) error {
	if id, err := identity.FromUserID(name); err != nil || id.Name != name {
		return wrong(path, "%q is not a name; use 1 to %d visible characters, without space at the ends", name, identity.MaxUserID)
	}
	look := cases.Fold().String(norm.NFKC.String(name))
	other, taken := seen[look]
	seen[look] = name
	switch {
	case taken && other == name:
		return wrong(path, "the name %s is used twice; give each key its own", name)
	case taken:
		return wrong(path, "%s looks like the name %s; give each key one that nobody takes for another", name, other)
	}
	return nil
}

func checkKeyServers(path string, ids []string, servers []authz.Server) error {
	known := make([]string, len(servers))
	for i, s := range servers {
		known[i] = s.ID
	}
	for i, id := range ids {
		if !slices.Contains(known, id) {
			return wrong(path, "there is no server %q%s", id, choice(id, known))
		}
		if slices.Contains(ids[:i], id) {
			return wrong(path, "server %s is listed twice; remove one", id)
		}
	}
	return nil
}

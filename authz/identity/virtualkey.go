package identity

import (
	"encoding/hex"
	"iter"
	"maps"
	"net/http"
	"slices"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// VirtualKey: the person knows a key that the operator handed out.
const VirtualKey Kind = "virtual_key"

// ByVirtualKey lets people sign in with one of the keys. A key is never written
// anywhere: not to a page, a URL or a log.
func ByVirtualKey(keys *VirtualKeys) Method {
	return Method{
		Kind: VirtualKey, Form: "vk", ExcludesStrangers: true, NameVerified: true, Label: "virtual key",
		Messages: map[string]string{"key": "This key is not known here, or no longer valid. Check it and try again."},
		Prompt: func(*http.Request, bool) Prompt {
			return Prompt{
				Title: "Virtual key", Button: "Continue with key",
				Inputs: []Input{{Name: "vk", Type: "password", Label: "Your key", Autocomplete: "current-password", MaxLength: 512}},
				Hint:   "The key that the operator of this site gave you. The application never sees it.",
			}
		},
		Identify: func(r *http.Request) (storage.Identity, error) {
			key := keys.ByKey(r.PostForm.Get("vk"))
			if key == nil {
				return storage.Identity{}, &Denied{Code: "key", Guess: true}
			}
			return key.Identity(), nil
		},
		Valid:  keys.isValid,
		Listed: keys.listed,
		MayUse: func(id storage.Identity, server string) bool {
			key := keys.behind(id.Subject)
			return key != nil && key.Allows(server)
		},
	}
}

// Key is a virtual key: a secret that an operator hands to a person or a
// program, under a name, for some or all MCP servers.
type Key struct {
	Name string
	Hash storage.Hash
	// Servers are the ids of the MCP servers it is good for; none means all.
	Servers []string

	proof string // see Identity; set in a set of keys
}

// Allows reports whether the key is good for the MCP server.
func (k *Key) Allows(server string) bool {
	return len(k.Servers) == 0 || slices.Contains(k.Servers, server)
}

// Identity returns whom the key stands for. Its Proof is enough of the hash to
// tell the key from its successor, and too little to find the key by.
func (k *Key) Identity() storage.Identity {
	return storage.Identity{
		Kind: string(VirtualKey), Subject: subject(VirtualKey, k.Name), Name: k.Name, Proof: hex.EncodeToString(k.Hash[:4]),
	}
}

// VirtualKeys is the set of keys of one site. A nil set is empty.
type VirtualKeys struct {
	byHash    map[storage.Hash]*Key
	bySubject map[string]*Key
}

// NewVirtualKeys returns the set of the keys. Names and hashes are unique; the
// caller has checked that.
func NewVirtualKeys(keys ...Key) *VirtualKeys {
	set := &VirtualKeys{byHash: make(map[storage.Hash]*Key, len(keys)), bySubject: make(map[string]*Key, len(keys))}
	for i := range keys {
		id := keys[i].Identity()
		keys[i].proof = id.Proof
		set.byHash[keys[i].Hash] = &keys[i]
		set.bySubject[id.Subject] = &keys[i]
	}
	return set
}

// ByKey returns the key that a person or program presented, or nil. Keys are
// found by their SHA-256, so the time it takes says nothing about how much of
// a wrong key was right.
func (s *VirtualKeys) ByKey(presented string) *Key {
	if s == nil {
		return nil
	}
	return s.byHash[storage.HashOf(presented)]
}

// behind returns the key behind a subject, or nil if the operator has
// withdrawn it.
func (s *VirtualKeys) behind(subject string) *Key {
	if s == nil {
		return nil
	}
	return s.bySubject[subject]
}

// isValid reports whether an identity was proved by a key that is still good: one
// that was replaced under its name is not, for that is what an operator does
// when it leaked.
func (s *VirtualKeys) isValid(id storage.Identity) bool {
	k := s.behind(id.Subject)
	return k != nil && k.proof == id.Proof
}

// All ranges over the keys, in no particular order.
func (s *VirtualKeys) All() iter.Seq[*Key] {
	if s == nil {
		return func(func(*Key) bool) {}
	}
	return maps.Values(s.byHash)
}

// listed returns what can be withdrawn of the keys.
func (s *VirtualKeys) listed() map[string]Listed {
	all := map[string]Listed{}
	for k := range s.All() {
		id := k.Identity()
		all[id.Subject] = Listed{id.Proof, slices.Sorted(slices.Values(k.Servers))}
	}
	return all
}

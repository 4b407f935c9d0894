package identity

import (
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

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
			key := keys.Set().ByHash(storage.HashOf(r.PostForm.Get("vk")))
			if key == nil || key.Expired(time.Now()) {
				return storage.Identity{}, &Denied{Code: "key", Guess: true}
			}
			key.Use.Mark(time.Now)
			return key.Identity(), nil
		},
		Valid:  func(id storage.Identity) bool { return keys.Set().behind(id) != nil },
		Listed: func() map[string]Listed { return keys.Set().Listed(false) },
		MayUse: func(id storage.Identity, server string) bool {
			of := keys.Set().bySubject[id.Subject]
			return len(of) > 0 && of[0].Allows(server)
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
	// Stored tells that the key was made while the site ran, and is not one of the
	// configuration. Then there may be two of a name: one before and one after its
	// rotation.
	Stored bool
	// Withdrawn is as in storage.VirtualKey.
	Withdrawn uint64
	// ExpiresAt is when it stops being good, zero for never.
	ExpiresAt time.Time
	// Use is when it was last used; nil if nobody wants to know.
	Use *LastUse

	proof string // see Identity; set in a set of keys
}

// Allows reports whether the key is good for the MCP server.
func (k *Key) Allows(server string) bool {
	return len(k.Servers) == 0 || slices.Contains(k.Servers, server)
}

// Expired reports whether the key is not good any more.
func (k *Key) Expired(now time.Time) bool { return !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt) }

// Identity returns whom the key stands for. Its Proof is enough of the hash to
// tell the key from its successor, and too little to find the key by.
func (k *Key) Identity() storage.Identity {
	proof := k.HashProof()
	if k.Withdrawn > 0 {
		proof += "." + strconv.FormatUint(k.Withdrawn, 10)
	}
	return storage.Identity{Kind: string(VirtualKey), Subject: subject(VirtualKey, k.Name), Name: k.Name, Proof: proof}
}

// HashProof is the Proof of the key itself, whatever was withdrawn from it.
func (k *Key) HashProof() string { return hex.EncodeToString(k.Hash[:4]) }

// LastUse is when a key was last used, as far as it was noted. A use costs one
// look at it, as long as the one before was not taken.
type LastUse struct {
	at    atomic.Int64 // in Unix seconds
	noted atomic.Bool
}

// Mark notes a use, unless one was noted since Take.
func (u *LastUse) Mark(now func() time.Time) {
	if u != nil && !u.noted.Load() {
		u.at.Store(now().Unix())
		u.noted.Store(true)
	}
}

// Take returns the use that was noted since it was last called.
func (u *LastUse) Take() (at time.Time, noted bool) {
	noted = u.noted.Swap(false)
	return u.At(), noted
}

// At returns the last use that was noted, or zero.
func (u *LastUse) At() time.Time {
	if at := u.at.Load(); at != 0 {
		return time.Unix(at, 0).UTC()
	}
	return time.Time{}
}

// VirtualKeys are the keys of one site, which change while it runs. Nil has none.
type VirtualKeys struct {
	set   atomic.Pointer[KeySet]
	known atomic.Int64 // see Confirm
	away  atomic.Int64 // see Away
}

// NewVirtualKeys returns the keys of a site, which begin with these. Hashes are
// unique, and so are the names of those that are not stored; the caller has
// checked that.
func NewVirtualKeys(keys ...Key) *VirtualKeys {
	s := new(VirtualKeys)
	s.Replace(keys)
	return s
}

// Replace puts other keys in the place of those that there are.
func (s *VirtualKeys) Replace(keys []Key) { s.set.Store(newKeySet(keys)) }

var noKeys = newKeySet(nil)

// Set returns the keys that there are now.
func (s *VirtualKeys) Set() *KeySet {
	if s == nil {
		return noKeys
	}
	return s.set.Load()
}

// trusted is how long what was read of stored keys is trusted without another
// look. It is some of the pauses between looks.
const trusted = 15 * time.Second

// Confirm notes that the stored keys among them are those in the store.
func (s *VirtualKeys) Confirm(now time.Time) { s.known.Store(now.UnixNano()) }

// Away notes with what the last look failed. Of a store that cannot be reached, what was
// confirmed goes on for as long as that allows, and as anything that is remembered of it.
func (s *VirtualKeys) Away(err error) {
	within := time.Duration(0)
	if storage.Unreachable(err) {
		within = max(storage.StaleFor(err), storage.WatchInterval)
	}
	s.away.Store(int64(within))
}

// Confirmed reports whether that was noted not long ago.
func (s *VirtualKeys) Confirmed(now time.Time) bool {
	within := time.Duration(s.away.Load())
	if within == 0 {
		within = trusted
	}
	return now.Sub(time.Unix(0, s.known.Load())) < within
}

// KeySet is the keys of a site at one moment. It is never changed.
type KeySet struct {
	keys      []Key
	byHash    map[storage.Hash]*Key
	bySubject map[string][]*Key
}

func newKeySet(keys []Key) *KeySet {
	set := &KeySet{slices.Clone(keys), make(map[storage.Hash]*Key, len(keys)), make(map[string][]*Key, len(keys))}
	for i := range set.keys {
		k := &set.keys[i]
		id := k.Identity()
		k.proof = id.Proof
		set.byHash[k.Hash] = k
		set.bySubject[id.Subject] = append(set.bySubject[id.Subject], k)
	}
	return set
}

// ByHash returns the key with the hash, or nil. Keys are found by their SHA-256,
// so the time it takes says nothing about how much of a wrong key was right.
func (s *KeySet) ByHash(h storage.Hash) *Key { return s.byHash[h] }

// All returns the keys. The caller must not change them.
func (s *KeySet) All() []Key { return s.keys }

// behind returns the key that proved an identity, or nil if the operator has
// withdrawn it: one that was replaced under its name is not good, for that is what
// an operator does when it leaked.
func (s *KeySet) behind(id storage.Identity) *Key {
	for _, k := range s.bySubject[id.Subject] {
		if k.proof == id.Proof {
			return k
		}
	}
	return nil
}

// Listed returns what can be withdrawn of the stored keys, or of the others.
func (s *KeySet) Listed(stored bool) map[string]Listed {
	all := map[string]Listed{}
	for subject, keys := range s.bySubject {
		if keys[0].Stored != stored {
			continue
		}
		l := Listed{Proof: keys[0].proof, Servers: slices.Sorted(slices.Values(keys[0].Servers))}
		for _, k := range keys[1:] {
			l.Also = append(l.Also, k.proof)
		}
		all[subject] = l
	}
	return all
}

// SubjectOfKey returns the subject of the key with the name.
func SubjectOfKey(name string) string { return subject(VirtualKey, name) }

package identity

import (
	"maps"
	"slices"
)

// Listed is what the configuration says of an identity that it lists. Its JSON is
// in databases.
type Listed struct {
	// Proof is that of the identity, and not empty.
	Proof string `json:"proof"`
	// Servers are the ids of the MCP servers it may use, in order; none means all.
	Servers []string `json:"servers,omitempty"`
	// Also are other proofs of the same identity, as those of a key that is being
	// replaced.
	Also []string `json:"also,omitempty"`
}

// Covers reports whether it has every proof of another, and may use all that the
// other may.
func (l Listed) Covers(other Listed) bool {
	return l.has(other.Proof) && !slices.ContainsFunc(other.Also, func(p string) bool { return !l.has(p) }) && (l.Servers == nil ||
		other.Servers != nil && !slices.ContainsFunc(other.Servers, func(id string) bool { return !slices.Contains(l.Servers, id) }))
}

func (l Listed) has(proof string) bool { return l.Proof == proof || slices.Contains(l.Also, proof) }

// Bases returns what identities rest on besides being listed, in order: their
// kinds, each with the SharedProof and the Basis if it has them.
func (ms Methods) Bases() []string {
	var bases []string
	for _, m := range ms {
		basis := string(m.Kind)
		if m.SharedProof != "" {
			basis += " " + m.SharedProof
		}
		if m.Basis != "" {
			basis += " " + m.Basis
		}
		bases = append(bases, basis)
	}
	slices.Sort(bases)
	return bases
}

// Listed returns the identities that the configuration lists, by subject.
func (ms Methods) Listed() map[string]Listed {
	all := map[string]Listed{}
	for _, m := range ms {
		if m.Listed != nil {
			maps.Copy(all, m.Listed())
		}
	}
	return all
}

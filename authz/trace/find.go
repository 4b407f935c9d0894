package trace

import (
	"cmp"
	"context"
	"slices"
	"strings"
)

// Query says which traces are wanted. What is empty does not matter.
type Query struct {
	Site string
	// Reference is what somebody was shown, or the ID of a trace, sign-in, grant or
	// connection.
	Reference string
	// Person is a subject, such as `oidc:alice@example.com`, or what follows a
	// colon.
	Person string
	// Client is a client_id, or part of the name or the User-Agent of a client.
	Client string
	Server string
	// Failed wants only those in which something failed.
	Failed bool
}

// Matches reports whether a trace is wanted.
func (q *Query) Matches(t *Trace) bool {
	return (q.Site == "" || t.Site == q.Site) && (q.Reference == "" || t.isKnownAs(q.Reference)) &&
		(q.Person == "" || t.isOf(q.Person)) && (q.Client == "" || t.isBy(q.Client)) &&
		(q.Server == "" || slices.Contains(t.Servers, q.Server)) && (!q.Failed || t.Failed())
}

func (t *Trace) isKnownAs(reference string) bool {
	return t.ID == reference || t.Flow == reference || t.Grant == reference ||
		slices.Contains(t.Connections, reference) || slices.Contains(t.References, reference)
}

func (t *Trace) isOf(person string) bool {
	if t.Person == "" {
		return false
	}
	for name, more := t.Person, true; more; _, name, more = strings.Cut(name, ":") {
		if strings.EqualFold(name, person) {
			return true
		}
	}
	return false
}

func (t *Trace) isBy(client string) bool {
	client = strings.ToLower(client)
	return strings.ToLower(t.Client) == client ||
		strings.Contains(strings.ToLower(t.ClientName), client) || strings.Contains(strings.ToLower(t.Agent), client)
}

// Find returns the traces that are wanted, the one that something happened in last
// first: those in memory, and those that failed and were kept.
func (r *Recorder) Find(ctx context.Context, q Query, archives ...*Archive) ([]*Trace, error) {
	found := r.all(q.Matches)
	seen := make(map[string]bool, len(found))
	for _, t := range found {
		seen[t.ID] = true
	}
	for _, a := range archives {
		kept, err := a.All(ctx)
		if err != nil {
			return nil, err
		}
		for _, t := range kept {
			if !seen[t.ID] && q.Matches(t) {
				seen[t.ID] = true
				found = append(found, t)
			}
		}
	}
	slices.SortStableFunc(found, func(a, b *Trace) int {
		return cmp.Or(b.Last.Compare(a.Last), cmp.Compare(a.ID, b.ID))
	})
	return found, nil
}

// Before returns those of all traces that the same client or person left before t
// began, the last one first.
func Before(t *Trace, all []*Trace) []*Trace {
	return slices.DeleteFunc(slices.Clone(all), func(other *Trace) bool {
		same := t.Client != "" && other.Client == t.Client && (other.Person == t.Person || t.Person == "" || other.Person == "") ||
			t.Agent != "" && other.Agent == t.Agent && other.Address == t.Address
		return other.ID == t.ID || other.Site != t.Site || !same || !other.Began.Before(t.Began)
	})
}

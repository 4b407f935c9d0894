package persons

import (
	"context"
	"sync"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
)

const (
	// failuresInARow are how many requests a provider leaves without a usable answer
	// before no more are made in a turn.
	failuresInARow = 3
	// reminder is how often the log says again that a provider does not answer.
	reminder = 10 * time.Minute
)

// turn is one RenewDue. It notes which providers did not answer in it.
type turn struct {
	*Persons
	mu       sync.Mutex
	failures map[string]int // in a row, by kind
}

func newTurn(ps *Persons) *turn { return &turn{Persons: ps, failures: map[string]int{}} }

// silent reports whether the provider of a kind does not answer in this turn.
func (t *turn) silent(kind string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failures[kind] >= failuresInARow
}

func (t *turn) failed(ctx context.Context, m *identity.Method, err error) {
	t.mu.Lock()
	t.failures[string(m.Kind)]++
	t.mu.Unlock()
	if t.outages.begins(string(m.Kind), t.deps.Now()) {
		t.deps.Events.Record(ctx, event.Event{
			Kind: event.ProviderUnreachable, Reason: "recheck", Identity: string(m.Kind), Provider: m.Provider, Err: err,
			Detail: "It does not say whether people may still sign in there. It is asked again and again, and the tokens of people of whom it has said nothing for twice the recheck time are refused until it does.",
		})
	}
}

func (t *turn) answered(ctx context.Context, m *identity.Method) {
	t.mu.Lock()
	t.failures[string(m.Kind)] = 0
	t.mu.Unlock()
	if t.outages.ends(string(m.Kind)) {
		t.deps.Events.Record(ctx, event.Event{Kind: event.ProviderRecovered, Reason: "recheck", Identity: string(m.Kind), Provider: m.Provider})
	}
}

// outages are when the log was told that the providers of kinds do not answer.
type outages struct {
	mu   sync.Mutex
	told map[string]time.Time
}

// begins reports whether the log is to be told.
func (o *outages) begins(kind string, now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if last, told := o.told[kind]; told && now.Sub(last) < reminder {
		return false
	}
	if o.told == nil {
		o.told = map[string]time.Time{}
	}
	o.told[kind] = now
	return true
}

// ends reports whether there was an outage.
func (o *outages) ends(kind string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, told := o.told[kind]
	delete(o.told, kind)
	return told
}

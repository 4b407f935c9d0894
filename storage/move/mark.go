package move

import (
	"encoding/json"
	"fmt"
	"time"
)

// State is what a mark says of its store.
type State string

// The states of a store that no Caddy may start on.
const (
	// Leaving: its records are being moved away.
	Leaving State = "leaving"
	// Left: all of them are elsewhere.
	Left State = "left"
	// Filling: it does not have all of them yet.
	Filling State = "filling"
)

// Mark stands on a store from the moment a move begins. A source keeps it.
type Mark struct {
	// ID is of the move: the marks of both stores have it.
	ID    string `json:"id"`
	State State  `json:"state"`
	// Other is the name of the other store.
	Other string    `json:"other"`
	Since time.Time `json:"since"`
	// Kind and After are how far a target is filled: the kind of the last batch, and
	// where the source's next one begins.
	Kind  string `json:"kind,omitempty"`
	After []byte `json:"after,omitempty"`
}

// None reports whether there is no mark.
func (m Mark) None() bool { return m.ID == "" }

// Text is the mark as a store keeps it; empty for none.
func (m Mark) Text() string {
	if m.None() {
		return ""
	}
	text, err := json.Marshal(m)
	if err != nil {
		panic(err) // strings, bytes and a time
	}
	return string(text)
}

// ReadMark reads what Text wrote.
func ReadMark(text string) (m Mark, err error) {
	if text == "" {
		return m, nil
	}
	if err := json.Unmarshal([]byte(text), &m); err != nil || m.None() {
		return m, fmt.Errorf("the mark of a migration cannot be read: %q", text)
	}
	return m, nil
}

// Refusal says why nobody works with the store that has the mark, and what to do.
func (m Mark) Refusal() error {
	since := m.Since.UTC().Format(time.RFC3339)
	switch m.State {
	case Filling:
		return fmt.Errorf("it is being filled with the records of %s since %s, and does not have all of them yet; "+
			"run the same caddy mcp-oauth migrate again, which goes on, or start Caddy with that storage after caddy mcp-oauth migrate --reopen", m.Other, since)
	case Leaving:
		return fmt.Errorf("its records are being moved to %s since %s; run the same caddy mcp-oauth migrate again, which goes on, "+
			"or stay with this storage: caddy mcp-oauth migrate --reopen", m.Other, since)
	}
	return fmt.Errorf("its records were moved to %s at %s, and what happened since is only there; start Caddy with that storage, "+
		"or move them back with caddy mcp-oauth migrate. Only if that one is lost: caddy mcp-oauth migrate --reopen", m.Other, since)
}

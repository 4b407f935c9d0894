// Package toolchanges is what people see of tools that are held back, as they changed or are
// new, and how they approve them for themselves.
//
// It shows what a person was listed, and nothing of what others are. What a server says
// of its tools is quoted, with characters escaped that cannot be seen: it may be meant
// to deceive.
package toolchanges

import (
	"context"
	"errors"
	"strconv"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/pins"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/sealedvalue"
)

// ErrGone: the definition does not wait any more. The tool may have changed again.
var ErrGone = errors.New("toolchanges: no such definition waits")

// Tools are those of the servers of a site. Nil has none.
type Tools struct {
	Of   func(server string) *pins.Tools
	Kept sealedvalue.Place
}

// Tool is one that waits.
type Tool struct {
	Server  string // its id
	Title   string // of the server
	Name    string // as the form sends it back
	Quoted  string
	New     bool
	Hash    string
	Changes []pins.Change // quoted
}

// shownTools bounds how many of a server are shown at once.
const shownTools = 20

// For returns what waits for a person at a server, or an account of theirs there.
func (t *Tools) For(ctx context.Context, s *config.Server, person, title string) ([]Tool, error) {
	if t == nil || !s.PeopleApprove() {
		return nil, nil
	}
	known, viewer := t.Of(s.Configured().ID), viewerOf(s, person)
	if err := errors.Join(known.Ready(ctx, t.Kept), known.ReadyFor(ctx, t.Kept, person)); err != nil {
		return nil, err
	}
	var all []Tool
	for _, state := range known.WaitingFor(viewer) {
		if len(all) == shownTools {
			break
		}
		d := &state.Pending[0]
		hash, _ := d.Hash.MarshalText() // which never fails
		tool := Tool{Server: s.ID, Title: title, Name: state.Name, Quoted: strconv.Quote(state.Name), New: state.Current() == nil, Hash: string(hash)}
		for _, c := range pins.Difference(state.Current(), d) {
			tool.Changes = append(tool.Changes, pins.Change{Field: quoted(c.Field), Before: quoted(c.Before), After: quoted(c.After)})
		}
		all = append(all, tool)
	}
	return all, nil
}

func viewerOf(s *config.Server, person string) pins.Viewer {
	return pins.Viewer{View: s.ViewOf(person), Person: person}
}

func quoted(text string) string {
	if text == "" {
		return ""
	}
	return strconv.Quote(text)
}

// Approve has a definition that waits for a person count as approved, for them.
func (t *Tools) Approve(ctx context.Context, s *config.Server, person, name, hash string) error {
	var h pins.Hash
	if t == nil || s == nil || !s.PeopleApprove() || h.UnmarshalText([]byte(hash)) != nil {
		return ErrGone
	}
	known := t.Of(s.Configured().ID)
	if err := known.Ready(ctx, t.Kept); err != nil {
		return err
	}
	for _, state := range known.WaitingFor(viewerOf(s, person)) {
		if state.Name == name && state.Pending[0].Hash == h {
			err := known.ApproveFor(ctx, t.Kept, person, []pins.Choice{{Tool: name, Hash: h}})
			if errors.Is(err, pins.ErrNothing) {
				return ErrGone
			}
			return err
		}
	}
	return ErrGone
}

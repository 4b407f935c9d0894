package pins

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/inert"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/sealed"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/sealedvalue"
)

const (
	// maxPeople bounds of how many people it is remembered what they approved, and
	// maxOfPerson how many definitions each can approve.
	maxPeople   = 4096
	maxOfPerson = 1024
	// keptOfPerson is for how long what a person approved counts after they last
	// approved something.
	keptOfPerson = 365 * 24 * time.Hour
)

// ErrNothing: there is no such definition that waits to be approved. Another one may by
// now.
var ErrNothing = errors.New("pins: no such definition waits to be approved")

// maxTyped is the longest name of a tool in a command.
const maxTyped = 128

// NotApproved is why a tool is held back, in words.
const NotApproved = "it is new, or changed, and was not approved yet"

// ApproveCommand is what an operator types to see what is different of a tool, and to
// approve it. A name that is long, or cannot be typed, is not in it.
func ApproveCommand(server, tool string) string {
	if word := inert.Shell(tool); word != "" && len(word) <= maxTyped {
		return "caddy mcp-oauth tools approve " + server + " " + word
	}
	return "caddy mcp-oauth tools approve " + server + " --all"
}

// Choice is what is to be approved.
type Choice struct {
	Tool string
	Hash Hash // of its definition, as it was shown
}

// Approve has definitions that wait count as approved, for everybody. It tells if one
// does not wait any more, and then approves none.
func (t *Tools) Approve(ctx context.Context, at sealedvalue.Place, choices []Choice) error {
	if err := t.Ready(ctx, at); err != nil {
		return err
	}
	return t.save(ctx, at, func() (all []approval, err error) {
		if err = t.missing(choices); err != nil {
			return nil, err
		}
		for _, c := range choices {
			pending := t.tools[c.Tool].pending
			if i := slices.IndexFunc(pending, func(d Definition) bool { return d.Hash == c.Hash }); i >= 0 {
				d := pending[i]
				d.At, d.By = at.Now(), ByOperator
				all = append(all, approval{c.Tool, d})
			}
		}
		return all, nil
	})
}

// approval is a definition of a tool that somebody approves: it counts once it is stored.
type approval struct {
	tool string
	Definition
}

func (t *Tools) missing(choices []Choice) error {
	for _, c := range choices {
		if one := t.tools[c.Tool]; !one.awaits(c.Hash) && !one.approves(c.Hash) {
			return ErrNothing
		}
	}
	return nil
}

// Begin has nothing approved to begin with, unless the first list was seen already.
func (t *Tools) Begin(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.pinnedAt.IsZero() && t.began.IsZero() {
		t.pinnedAt = now
		t.changed.Store(true)
	}
}

// State is what is to be said of a tool.
type State struct {
	Name     string
	Approved []Definition // the newest last
	Pending  []Definition // the newest last
}

// List returns what is known of all tools, by name, and when tools were pinned; zero
// if no list was seen yet.
func (t *Tools) List() (all []State, pinnedAt time.Time) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, name := range slices.Sorted(maps.Keys(t.tools)) {
		all = append(all, State{name, slices.Clone(t.tools[name].approved), slices.Clone(t.tools[name].pending)})
	}
	return all, t.pinnedAt
}

// WaitingFor returns what a viewer was listed, through whichever client, that was not
// approved, neither for everybody nor by their person: nothing of what others are listed.
func (t *Tools) WaitingFor(v Viewer) (all []State) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	type item struct {
		name string
		hash Hash
	}
	listed := map[item]bool{}
	for view, tools := range t.views.of {
		if view == v.View || v.View != "" && strings.HasPrefix(view, v.View+"\n") {
			for name, h := range tools {
				listed[item{name, h}] = true
			}
		}
	}
	for l := range listed {
		one := t.tools[l.name]
		if one == nil || t.people.approved(v.Person, l.name, l.hash) {
			continue
		}
		if i := slices.IndexFunc(one.pending, func(d Definition) bool { return d.Hash == l.hash }); i >= 0 {
			all = append(all, State{l.name, slices.Clone(one.approved), one.pending[i : i+1 : i+1]})
		}
	}
	slices.SortFunc(all, func(a, b State) int {
		x, y := &a.Pending[0], &b.Pending[0]
		return cmp.Or(strings.Compare(a.Name, b.Name), x.At.Compare(y.At), bytes.Compare(x.Hash[:], y.Hash[:]))
	})
	return all
}

// Current returns the definition that is shown of an approved tool, nil if none is.
func (s *State) Current() *Definition {
	if len(s.Approved) == 0 {
		return nil
	}
	return &s.Approved[len(s.Approved)-1]
}

// people are what people approved for themselves, as far as that was read: by person,
// what ofTool returns. Two tools can have one definition, and who approves one of them
// says nothing of the other.
type people map[string]map[Hash]bool

func (p people) approved(person, tool string, h Hash) bool {
	if person == "" || len(p[person]) == 0 {
		return false
	}
	return p[person][h.ofTool(tool)]
}

// ofTool returns the hash of a definition as that of one tool.
func (h Hash) ofTool(name string) Hash {
	var short [256]byte // most names are, and then this allocates nothing
	return sha256.Sum256(append(append(append(short[:0], name...), 0), h[:]...))
}

func personValue(at sealedvalue.Place, server, person string) *sealedvalue.Value {
	name := sealed.ApprovalsName(server, person)
	return &sealedvalue.Value{Place: at, Name: name, Context: sealed.Pins(at.Issuer, name), Lifetime: keptOfPerson}
}

// ReadyFor reads what somebody approved for themselves, unless that was done.
func (t *Tools) ReadyFor(ctx context.Context, at sealedvalue.Place, person string) error {
	t.mu.RLock()
	_, known := t.people[person]
	t.mu.RUnlock()
	if known || person == "" {
		return nil
	}
	plain, err := personValue(at, t.server, person).Read(ctx)
	if err != nil && !errors.Is(err, sealedvalue.ErrUnreadable) { // they can approve anew
		return err
	}
	t.remember(person, decodeHashes(plain))
	return nil
}

func (t *Tools) remember(person string, hashes []Hash) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.people == nil {
		t.people = people{}
	}
	for other := range t.people {
		if len(t.people) < maxPeople {
			break
		}
		delete(t.people, other)
	}
	approved := make(map[Hash]bool, len(hashes))
	for _, h := range hashes {
		approved[h] = true
	}
	t.people[person] = approved
}

// forgetPeople has what people approved read anew: of one, or of all if the person is
// empty.
func (t *Tools) forgetPeople(person string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if person == "" {
		clear(t.people)
	}
	delete(t.people, person)
}

// ApproveFor has definitions that wait count as approved for one person.
func (t *Tools) ApproveFor(ctx context.Context, at sealedvalue.Place, person string, choices []Choice) error {
	t.mu.RLock()
	missing := t.missing(choices)
	t.mu.RUnlock()
	if missing != nil {
		return missing
	}
	var hashes []Hash
	err := personValue(at, t.server, person).Update(ctx, func(plain []byte, _ bool) ([]byte, error) {
		hashes = decodeHashes(plain)
		for _, c := range choices {
			if h := c.Hash.ofTool(c.Tool); !slices.Contains(hashes, h) {
				hashes = append(hashes, h)
			}
		}
		hashes = hashes[max(0, len(hashes)-maxOfPerson):]
		return json.Marshal(hashes)
	})
	if err == nil {
		t.remember(person, hashes)
	}
	return err
}

func decodeHashes(plain []byte) (hashes []Hash) {
	_ = json.Unmarshal(plain, &hashes) // nothing for nothing
	return hashes
}

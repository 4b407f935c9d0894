package catalog

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/sealed"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/sealedvalue"
)

const (
	// keptBytes bounds what the store has of one server.
	keptBytes = 256 << 10
	// keptDays is for how long something is kept that the server does not list any more.
	keptDays = 30
	// savePause is how long one server's changes wait for the next ones, after some were
	// stored: a server may say something else each time.
	savePause = time.Minute
	// maxTitle bounds what people are shown.
	maxTitle = 256
)

// isKept reports whether the store has items of a kind. Resources can be each
// person's own and without end, and no rule asks what their server says of them.
func isKept(kind access.Kind) bool { return kind != access.Resource }

// keptItem is an entry as the store has it.
type keptItem struct {
	Kind        access.Kind        `json:"kind,omitempty"`
	Name        string             `json:"name"`
	Title       string             `json:"title,omitempty"`
	Annotations access.Annotations `json:"annotations"`
	Hash        []byte             `json:"hash"`
	Day         int64              `json:"day"` // since 1970
}

func (i *keptItem) entry() *Entry {
	e := &Entry{Kind: i.Kind, Name: i.Name, Title: i.Title, Annotations: i.Annotations, quick: new(quick)}
	copy(e.Hash[:], i.Hash)
	e.quick.day.Store(i.Day)
	return e
}

// Sync makes what is known and what the store at the place has the same, as far as
// that is due: once something changed here, or in the store.
func (s *Server) Sync(ctx context.Context, at sealedvalue.Place) error {
	now := at.Now()
	s.day.Store(now.Unix() / (24 * 60 * 60))
	value := sealedvalue.Value{Place: at, Name: sealed.CatalogName(s.id), Lifetime: keptDays * 24 * time.Hour}
	value.Context = sealed.Catalog(at.Issuer, value.Name)
	if s.stale.Swap(false) {
		kept, err := value.Read(ctx)
		if err != nil && err != sealedvalue.ErrUnreadable { //nolint:errorlint // which is never wrapped
			s.stale.Store(true)
			return err
		}
		s.adopt(decode(kept))
	}
	if since := now.Sub(s.savedAt); since >= 0 && since < savePause || !s.changed.Swap(false) {
		return nil
	}
	s.savedAt = now
	if err := s.save(ctx, &value); err != nil {
		s.changed.Store(true)
		return err
	}
	return nil
}

// save stores what changed, beside what others stored.
func (s *Server) save(ctx context.Context, value *sealedvalue.Value) error {
	var merged []keptItem
	fresh := s.fresh()
	err := value.Update(ctx, func(kept []byte, _ bool) ([]byte, error) {
		merged = s.merge(decode(kept), fresh)
		return encode(merged), nil
	})
	if err != nil {
		for _, e := range fresh {
			e.quick.fresh.Store(true)
		}
		return err
	}
	s.adopt(merged)
	return nil
}

// fresh returns what the store does not have, and has it count as stored.
func (s *Server) fresh() (all []*Entry) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, e := range s.items {
		if !e.quick.fresh.Swap(false) || !isKept(e.Kind) {
			continue
		}
		e.quick.day.CompareAndSwap(0, s.day.Load()) // before the first Sync
		all = append(all, e)
	}
	return all
}

// merge returns what the store is to have: what it has, with what is fresh here in the
// place of that, without what was not listed for long.
func (s *Server) merge(others []keptItem, fresh []*Entry) []keptItem {
	merged := make(map[key]keptItem, len(others)+len(fresh))
	for _, i := range others {
		merged[key{i.Kind, i.Name}] = i
	}
	for _, e := range fresh {
		merged[key{e.Kind, e.Name}] = keptItem{e.Kind, e.Name, e.Title, e.Annotations, e.Hash[:], e.quick.day.Load()}
	}
	all := make([]keptItem, 0, len(merged))
	for _, i := range merged {
		if s.day.Load()-i.Day <= keptDays {
			all = append(all, i)
		}
	}
	return all
}

// adopt takes over what is stored, but for what is fresh here.
func (s *Server) adopt(stored []keptItem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range stored {
		theirs := stored[i].entry()
		known := s.items[key{theirs.Kind, theirs.Name}]
		switch {
		case !isKept(theirs.Kind) || known == nil && s.isFull(theirs.Kind):
		case known != nil && (known.quick.fresh.Load() || known.Hash == theirs.Hash && known.Annotations == theirs.Annotations):
		default:
			s.put(theirs)
		}
	}
}

// decode reads what the store has. What it cannot read, of another version, is as good
// as nothing: the server will say it again.
func decode(kept []byte) (items []keptItem) {
	if json.Unmarshal(kept, &items) != nil {
		return nil
	}
	return slices.DeleteFunc(items, func(i keptItem) bool { return i.Kind > access.Prompt || len(i.Name) > maxName })
}

// encode writes what the store is to have, of too much the tools and what was listed
// last.
func encode(items []keptItem) []byte {
	slices.SortFunc(items, func(a, b keptItem) int {
		if a.Day != b.Day && a.Kind == b.Kind {
			return int(b.Day - a.Day)
		}
		if a.Kind != b.Kind {
			return int(a.Kind) - int(b.Kind)
		}
		return strings.Compare(a.Name, b.Name)
	})
	text := []byte("[")
	for _, i := range items {
		item, _ := json.Marshal(i) // texts and numbers
		if len(text)+len(item)+1 > keptBytes {
			break
		}
		if len(text) > 1 {
			text = append(text, ',')
		}
		text = append(text, item...)
	}
	return append(text, ']')
}

// titleOf returns what people are to be shown for an item.
func titleOf(definition []byte) string {
	var d struct {
		Title       string
		Annotations struct{ Title string }
	}
	_ = json.Unmarshal(definition, &d) // what can be read of it
	if d.Title == "" {
		d.Title = d.Annotations.Title
	}
	if len(d.Title) > maxTitle { // a part of it alone would keep all of it in memory
		d.Title = strings.Clone(strings.ToValidUTF8(d.Title[:maxTitle], ""))
	}
	return d.Title
}

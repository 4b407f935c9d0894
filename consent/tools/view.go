package tools

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/pages"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// View is what a page shows.
type View struct {
	ID      string // of its elements
	Open    bool   // something is left out
	Servers []ServerView
	Lasts   []Option // nothing to choose if empty
	// LastsLabel asks for that.
	LastsLabel string
}

// ServerView is what there is to choose of a server.
type ServerView struct {
	ID, Title              string
	ModeField, OthersField string
	// ShownField has Shown: all ticks of the server that are on the page.
	ShownField, Shown    string
	All, Reading, Ticked bool
	Groups               []GroupView // none if nobody knows the tools
	Others               []Option
	More                 string
	AllText              string
	Unknown              string // why there are no groups, in words
}

// GroupView is tools of which their server says the same.
type GroupView struct {
	Title string
	Tools []ToolView
}

// ToolView is one tool, as its server calls it.
type ToolView struct {
	Tick, Name, Title string
	Ticked            bool
}

// Option is one of a few to choose from.
type Option struct {
	Value, Text string
	Chosen      bool
}

// Asked is how a page asks for how long something lasts: at most so long, which has
// words of its own.
type Asked struct {
	Label, Longest string
	Most           time.Duration
}

// NewView returns what a page shows of the offers.
func NewView(t *pages.Text, id string, offers []Offer, s Selection, lasts Asked, titleOf func(Offer) string) *View {
	v := &View{ID: id, Open: !s.Everything() || s.Lifetime(lasts.Most) > 0, Lasts: options(t, s, lasts), LastsLabel: lasts.Label}
	for i := range offers {
		o := &offers[i]
		v.Servers = append(v.Servers, o.view(t, s, titleOf(*o)))
	}
	return v
}

func (o *Offer) view(t *pages.Text, s Selection, title string) ServerView {
	id := o.Server.ID
	mode := s.mode(id)
	v := ServerView{
		ID: id, Title: title, ModeField: modeField + id, OthersField: othersField + id, ShownField: shownField + id,
		AllText: t.ToolsAll, Unknown: o.unknown(t),
		All: mode == all, Reading: mode == reading, Ticked: mode == ticked,
	}
	if o.Server.Rules.Has(access.Tool) {
		v.AllText = t.ToolsAllRules
	}
	titles := [groups]string{t.ToolsRead, t.ToolsChange, t.ToolsDestroy}
	for _, tool := range o.Tools {
		if n := len(v.Groups); n == 0 || v.Groups[n-1].Title != titles[tool.group] {
			v.Groups = append(v.Groups, GroupView{Title: titles[tool.group]})
		}
		tick := o.tick(tool.Name)
		v.Shown += tick
		group := &v.Groups[len(v.Groups)-1]
		group.Tools = append(group.Tools, ToolView{
			Tick: tick, Name: visible(tool.Name), Title: visible(tool.Title),
			Ticked: s.has(tick) || mode != ticked && tool.group == reads,
		})
	}
	for _, option := range []Option{{Value: string(storage.NoOthers), Text: t.OthersNone}, {Value: string(storage.ReadOnlyOthers), Text: t.OthersReading}, {Value: string(storage.AllOthers), Text: t.OthersAll}} {
		option.Chosen = string(s.others(id)) == option.Value
		v.Others = append(v.Others, option)
	}
	if o.More > 0 {
		v.More = fmt.Sprintf(t.ToolsMore, o.More)
	}
	return v
}

// unknown tells why there are no tools to choose among.
func (o *Offer) unknown(t *pages.Text) string {
	switch {
	case o.Unconnected:
		return t.ToolsConnect
	case !o.Known:
		return t.ToolsUnknown
	}
	return t.ToolsNone
}

// options are how long a grant can last.
func options(t *pages.Text, s Selection, lasts Asked) []Option {
	chosen := s.Lifetime(lasts.Most)
	all := []Option{{Text: lasts.Longest, Chosen: chosen == 0}}
	for _, d := range lifetimes {
		if d < lasts.Most {
			all = append(all, Option{d.String(), t.Duration(d), d == chosen})
		}
	}
	if len(all) == 1 {
		return nil
	}
	return all
}

// Summary returns in words what is chosen of a server with the title.
func Summary(t *pages.Text, c storage.Choice, title string) string {
	switch {
	case c.Others == storage.AllOthers:
		return fmt.Sprintf(t.ChosenAllBut, title, len(c.Without))
	case c.Others == storage.NoOthers:
		return fmt.Sprintf(t.ChosenSome, title, len(c.Tools))
	case len(c.Tools) == 0:
		return fmt.Sprintf(t.ChosenReading, title)
	}
	return fmt.Sprintf(t.ChosenAndReading, title, len(c.Tools))
}

const (
	// maxShown is how much of a name is shown.
	maxShown = 80
	// maxMarks is how many accents and signs a letter may carry; more of them paint over
	// the lines around.
	maxMarks = 3
)

// visible makes text that a server chose fit to be shown on one line, so that people
// see what is in it: what shows nothing of its own is spelt out.
func visible(text string) string {
	var b strings.Builder
	shown, marks := 0, 0
	for _, r := range text {
		if shown++; shown > maxShown {
			b.WriteRune('…')
			break
		}
		if marks++; !unicode.Is(unicode.M, r) {
			marks = 0
		}
		switch {
		case r == '\\':
			b.WriteString(`\\`)
		case r != ' ' && (unicode.IsSpace(r) || identity.Invisible(r) || r == '\u2800' || r == unicode.ReplacementChar), marks > maxMarks:
			fmt.Fprintf(&b, `\u{%x}`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

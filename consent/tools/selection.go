package tools

import (
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Fields of a form, those of a server with its ID behind them, and what they say.
const (
	modeField   = "tools:"  // all, reading or ticked
	othersField = "others:" // what of tools that have no tick, with ticked
	shownField  = "shown:"  // the ticks that there are on the page, with and without a mark
	lastsField  = "lasts"
	// Field has ticks of all servers.
	Field = "tool"

	all     = "all"
	reading = "reading"
	ticked  = "ticked"
)

// Selection is what a form says, or what was chosen before.
type Selection struct {
	values url.Values
	lasts  time.Duration
}

// Read returns what a form says.
func Read(form url.Values) Selection {
	s := Selection{values: url.Values{}}
	for field, values := range form {
		if field == Field {
			s.values[field] = values
		}
		for _, prefix := range []string{modeField, othersField, shownField} {
			if strings.HasPrefix(field, prefix) {
				s.values[field] = values
			}
		}
	}
	s.lasts, _ = time.ParseDuration(form.Get(lastsField))
	return s
}

// Decode returns what Encode encoded.
func Decode(text string) Selection {
	form, err := url.ParseQuery(text)
	if err != nil {
		form = nil
	}
	return Read(form)
}

// Encode returns a short text for an address; "" if no form said anything. The page
// there shows ticks of its own.
func (s Selection) Encode() string {
	short := url.Values{}
	for field, values := range s.values {
		if field == Field && !s.HasTicks() || strings.HasPrefix(field, shownField) {
			continue
		}
		short[field] = []string{strings.Join(values, "")}
	}
	if s.lasts > 0 {
		short.Set(lastsField, s.lasts.String())
	}
	return short.Encode()
}

// Of returns the selection by which a grant was made.
func Of(offers []Offer, g *storage.Grant) Selection {
	s := Selection{values: url.Values{}, lasts: g.AbsoluteExpiresAt.Sub(g.CreatedAt)}
	for i := range offers {
		o := &offers[i]
		for _, c := range g.Chosen {
			if c.Resource == o.Server.Resource {
				o.selects(s.values, c)
			}
		}
	}
	return s
}

// WithoutLifetime is the selection of a form that leaves open how long all of it lasts.
func (s Selection) WithoutLifetime() Selection {
	s.lasts = 0
	return s
}

func (o *Offer) selects(into url.Values, c storage.Choice) {
	id := o.Server.ID
	if c.Others == storage.ReadOnlyOthers && len(c.Tools)+len(c.Without) == 0 {
		into.Set(modeField+id, reading)
		return
	}
	into.Set(modeField+id, ticked)
	into.Set(othersField+id, string(c.Others))
	for _, name := range c.Tools {
		into.Add(Field, o.tick(name))
	}
}

func (s Selection) mode(id string) string {
	switch mode := s.values.Get(modeField + id); mode {
	case reading, ticked:
		return mode
	}
	return all
}

// Everything reports whether nothing is left out.
func (s Selection) Everything() bool {
	for field := range s.values {
		if id, found := strings.CutPrefix(field, modeField); found && s.mode(id) != all {
			return false
		}
	}
	return true
}

// HasTicks reports whether tools are chosen one by one.
func (s Selection) HasTicks() bool {
	for field := range s.values {
		if id, found := strings.CutPrefix(field, modeField); found && s.mode(id) == ticked {
			return true
		}
	}
	return false
}

func (s Selection) others(id string) storage.Others {
	switch others := storage.Others(s.values.Get(othersField + id)); others {
	case storage.ReadOnlyOthers, storage.AllOthers:
		return others
	}
	return storage.NoOthers
}

// has reports whether there is a tick.
func (s Selection) has(tick string) bool {
	return slices.ContainsFunc(s.values[Field], func(ticks string) bool {
		for ; len(ticks) >= tickLength; ticks = ticks[tickLength:] {
			if ticks[:tickLength] == tick {
				return true
			}
		}
		return false
	})
}

// Choices returns what a grant for the resources has. What has no tick on the page is
// left out, and only what has one can be chosen. Of a server of which the form says
// nothing, what was chosen before stays so.
func Choices(offers []Offer, s Selection, resources []string, before []storage.Choice) (choices []storage.Choice) {
	for _, resource := range resources {
		at := slices.IndexFunc(offers, func(o Offer) bool { return o.Server.Resource == resource })
		if at < 0 || !s.values.Has(modeField+offers[at].Server.ID) {
			if i := slices.IndexFunc(before, func(c storage.Choice) bool { return c.Resource == resource }); i >= 0 {
				choices = append(choices, before[i])
			}
			continue
		}
		if c := offers[at].choice(s); c != nil {
			choices = append(choices, *c)
		}
	}
	return bounded(choices)
}

// bounded cuts off what is too much for a grant: what is not named is narrower then.
func bounded(choices []storage.Choice) []storage.Choice {
	left := storage.MaxChosen
	for i := range choices {
		c := &choices[i]
		if left < len(c.Tools)+len(c.Without) && c.Others != storage.NoOthers {
			c.Without, c.Others = nil, storage.NoOthers
		}
		c.Tools = c.Tools[:min(len(c.Tools), left)]
		left -= len(c.Tools) + len(c.Without)
	}
	return choices
}

// Unreadable reports whether nobody can tell now what the form says of a server: it has
// marks for tools that are not known, or leaves out tools that are not and that would be
// allowed as others. Before is what was chosen before, and may be chosen again.
func Unreadable(offers []Offer, s Selection, before []storage.Choice) (server string, unreadable bool) {
	left := 0
	for _, ticks := range s.values[Field] {
		left += len(ticks) / tickLength
	}
	for i := range offers {
		for _, t := range offers[i].Tools {
			if s.has(offers[i].tick(t.Name)) {
				left--
			}
		}
	}
	at := slices.IndexFunc(offers, func(o Offer) bool {
		return s.mode(o.Server.ID) == ticked && (left > 0 && !o.Known || o.leavesOut(s, before))
	})
	if at < 0 {
		return "", false
	}
	return offers[at].Server.ID, true
}

// leavesOut reports whether a tool of the page that the form is from would be taken for
// one that was never on it. The choice names what has no mark only where others are
// allowed.
func (o *Offer) leavesOut(s Selection, before []storage.Choice) bool {
	id := o.Server.ID
	if s.others(id) == storage.NoOthers {
		return false
	}
	if !o.Known {
		chosen := o.choice(s)
		return !slices.ContainsFunc(before, func(c storage.Choice) bool { return reflect.DeepEqual(c, *chosen) })
	}
	offered := make(map[string]bool, len(o.Tools))
	for _, t := range o.Tools {
		offered[o.tick(t.Name)] = true
	}
	for shown := s.values.Get(shownField + id); shown != ""; {
		tick := shown[:min(len(shown), tickLength)]
		if !offered[tick] {
			return true
		}
		shown = shown[len(tick):]
	}
	return !s.values.Has(shownField + id)
}

// choice returns what is chosen of the server, nil for all of it.
func (o *Offer) choice(s Selection) *storage.Choice {
	c := storage.Choice{Resource: o.Server.Resource, Others: storage.ReadOnlyOthers}
	switch s.mode(o.Server.ID) {
	case all:
		return nil
	case ticked:
		c.Others = s.others(o.Server.ID)
		o.name(&c, s)
	}
	return &c
}

// name adds the tools that have a tick on the page.
func (o *Offer) name(c *storage.Choice, s Selection) {
	for _, t := range o.Tools {
		switch {
		case s.has(o.tick(t.Name)):
			c.Tools = append(c.Tools, t.Name)
		case c.Others != storage.NoOthers:
			c.Without = append(c.Without, t.Name)
		}
	}
	slices.Sort(c.Tools)
	slices.Sort(c.Without)
}

// lifetimes are those that a person can choose.
var lifetimes = []time.Duration{time.Hour, 24 * time.Hour, 7 * 24 * time.Hour, 30 * 24 * time.Hour}

// Lifetime returns how long a grant is to last that lasts for most at the longest; 0
// for that.
func (s Selection) Lifetime(most time.Duration) time.Duration {
	if !slices.Contains(lifetimes, s.lasts) || s.lasts >= most {
		return 0
	}
	return s.lasts
}

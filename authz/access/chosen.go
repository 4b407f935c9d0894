package access

import "github.com/mcpoauth/caddy-mcp-oauth/storage"

// Chosen is which tools of a server a person lets a client use. Nil is all of them.
type Chosen struct {
	tools   map[string]bool // by name
	without map[string]bool // by what their names look like
	others  storage.Others
}

// NewChosen returns what a choice says. Tools that it lets be used are compared byte for
// byte, others by what their names look like, as in rules.
func NewChosen(c storage.Choice) *Chosen {
	chosen := &Chosen{others: c.Others}
	for _, name := range c.Tools {
		add(&chosen.tools, name)
	}
	for _, name := range c.Without {
		add(&chosen.without, fold(name))
	}
	return chosen
}

// limit has a decision that allows an item not do so if the person does not.
func (c *Chosen) limit(item *Item, d *Decision) {
	if c == nil || item.Kind != Tool || !d.Allowed {
		return
	}
	switch {
	case len(item.Name) > MaxName:
	case c.tools[item.Name]:
		return
	case c.without[fold(item.Name)], c.others == storage.NoOthers:
	case c.others == storage.AllOthers:
		return
	default:
		d.NeedsAnnotations = d.NeedsAnnotations || item.Annotations&Known == 0
		if item.Annotations&ReadOnly != 0 {
			return
		}
	}
	d.Allowed, d.Rule, d.NotChosen = false, nil, true
}

// nothing reports whether no tool at all can be used.
func (c *Chosen) nothing() bool { return c != nil && len(c.tools) == 0 && c.others == storage.NoOthers }

// Choices are what a person chose of several resources. Most have none.
type Choices []chosenAt

type chosenAt struct {
	resource string
	*Chosen
}

// NewChoices returns what the choices say.
func NewChoices(all []storage.Choice) Choices {
	var choices Choices
	for _, c := range all {
		choices = append(choices, chosenAt{c.Resource, NewChosen(c)})
	}
	return choices
}

// At returns what is chosen of a resource.
func (c Choices) At(resource string) *Chosen {
	for _, of := range c {
		if of.resource == resource {
			return of.Chosen
		}
	}
	return nil
}
